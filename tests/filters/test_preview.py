"""The page that thresholds are chosen by: the right pictures, on the right side, nearest first."""

import re
from pathlib import Path

import pytest

from tests.frames.pictures import LENIENT, SMALL, encode, folder_of, left, scene
from wmsd_core.filters import MeasureConfig, measure_frames
from wmsd_core.filters.preview import write_preview
from wmsd_core.frames import FramesConfig, register
from wmsd_core.store import query, reading, writing

HOSTILE = "<script>alert(1)<&script>.png"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve frames, sharpness 0 to 110; one has a hostile name, one is gone; a copy and a text were refused."""
    folder = tmp_path_factory.mktemp("preview")
    paths = folder_of(folder / "images", 11)
    (folder / "images" / HOSTILE).write_bytes(encode(scene(99)))
    (folder / "images" / "copy.png").write_bytes(paths[0].read_bytes())
    (folder / "images" / "text.png").write_text("no picture")
    register(folder / "store.duckdb", folder / "images", FramesConfig())
    measure_frames(folder / "store.duckdb", left(folder / "store.duckdb", "frames"), SMALL)
    with writing(folder / "store.duckdb") as con:
        for number, path in enumerate([*paths, folder / "images" / HOSTILE]):
            con.execute(
                "UPDATE measurements SET sharpness = ? WHERE frame_id = (SELECT frame_id FROM frames WHERE path = ?)",
                [10 * number, str(path)],
            )
    paths[4].unlink()
    return folder / "store.duckdb"


def test_each_side_shows_its_nearest_frames(store: Path, tmp_path: Path) -> None:
    config = LENIENT.model_copy(update={"min_sharpness": 30, "max_bars": 1})
    found = write_preview(store, tmp_path / "preview.html", SMALL, config)
    assert (found.frames, found.kept, found.lost) == (12, 9, 2)
    text = found.path.read_text(encoding="utf-8")
    article = text[text.index("Sharpness, at least 30") :]
    article = article[: article.index("</article>")]
    assert "drops 3 (25.0\u00a0%)" in article and "keeps 9" in article
    inside, beyond = (re.findall(r"<b>([^<]*)</b>", half) for half in article.split("Just dropped"))
    assert inside == ["30", "40", "50", "60", "70", "80"]  # at the threshold is kept
    assert beyond == ["20", "10", "0"]
    assert article.count("<img") == 8 and article.count("cannot be shown") == 1
    assert article.count("<svg") == 1


def test_it_says_where_files_were_lost_and_loads_nothing(store: Path, tmp_path: Path) -> None:
    text = write_preview(store, tmp_path / "a" / "preview.html", SMALL, LENIENT).path.read_text(encoding="utf-8")
    lost = text[text.index('<section id="lost">') :]
    assert "duplicate" in lost and "not an image" in lost
    assert "<script" not in text and "&lt;script&gt;" in text
    assert not re.search(r'(src|href)="(?!data:|#)', text)


def test_stored_verdicts_stay_and_unmeasured_frames_are_told(store: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nothing is measured"):
        write_preview(store, tmp_path / "preview.html", MeasureConfig(working_width=99), LENIENT)
    with reading(store) as con:
        before = query(con, "SELECT * FROM rejections ORDER BY ALL")
        ids = query(con, "SELECT frame_id FROM frames ORDER BY path LIMIT 4")
    few = MeasureConfig(working_width=32)
    measure_frames(store, [row["frame_id"] for row in ids], few)
    found = write_preview(store, tmp_path / "preview.html", few, LENIENT)
    assert found.frames == 4
    assert "8 frames are not measured" in found.path.read_text(encoding="utf-8")
    with reading(store) as con:
        assert query(con, "SELECT * FROM rejections ORDER BY ALL") == before
