"""Every input has one line that says what became of it, whatever it is and whatever goes wrong with it."""

import errno
import json
import os
import sys
import unicodedata
from collections.abc import Generator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.frames.clips import sound_only, view, write_video
from tests.frames.pictures import SMALL, encode, folder_of, left, rejections, scene
from wmsd_core.filters import measure_frames
from wmsd_core.frames import FramesConfig, decode, ledger, register, videos
from wmsd_core.frames import header as headers
from wmsd_core.frames.formats import kind_of
from wmsd_core.frames.names import existing
from wmsd_core.frames.refusal import failed
from wmsd_core.frames.walk import walk
from wmsd_core.store import query, reading
from wmsd_core.unicode import visible


def lines(store: Path) -> dict[str, tuple[str, str]]:
    """Name of an input -> what became of it, and the reason."""
    with reading(store) as con:
        found = ledger.look(con, None, None, None, 10_000)
    return {item.rpartition("/")[2]: (fate, reason) for item, fate, reason, _ in found}


def test_each_file_of_a_folder_has_one_line_and_again_after_a_rerun(tmp_path: Path) -> None:
    images, store = tmp_path / "images", tmp_path / "store.duckdb"
    folder_of(images, 2)
    (images / "again.png").write_bytes((images / "000.png").read_bytes())
    (images / "cut.png").write_bytes(encode(scene(7))[:400])
    (images / "empty.jpg").touch()
    (images / "notes.txt").write_text("a caption")
    (images / "data").write_text("neither")
    (images / ".hidden.png").write_bytes(encode(scene(5)))
    os.mkfifo(images / "pipe")
    write_video(images / "film.mp4", [view(0)] * 10)
    sound_only(images / "sound.mp4")
    cut = write_video(images / "cut.avi", [view(seed // 15 + 9) for seed in range(60)])
    cut.write_bytes(cut.read_bytes()[: int(0.6 * cut.stat().st_size)])
    expected = {
        "000.png": ("registered", ""),
        "001.png": ("registered", ""),
        "again.png": ("rejected", "duplicate"),
        "cut.png": ("rejected", "undecodable"),
        "empty.jpg": ("rejected", "empty"),
        "notes.txt": ("ignored", ""),
        "data": ("ignored", ""),
        ".hidden.png": ("ignored", ""),
        "pipe": ("ignored", ""),
        "film.mp4": ("registered", ""),
        "sound.mp4": ("rejected", "no_video"),
        "cut.avi": ("registered", "truncated"),
    }
    for _ in range(2):
        register(store, images, FramesConfig())
        measure_frames(store, left(store, "frames"), SMALL)
        assert lines(store) == expected
    for name in ("001.png", "notes.txt", "film.mp4", "empty.jpg"):
        (images / name).unlink()
        del expected[name]
    register(store, images, FramesConfig())
    assert lines(store) == expected
    with reading(store) as con:
        assert sum(count for *_, count in ledger.tally(con)) == len(expected)
        assert ledger.look(con, "rejected", "duplicate", None, 9)[0][0] == str(images / "again.png")


@pytest.mark.parametrize(
    "name",
    [
        "a.jfif",
        "a.jpe",
        "a.JPEG",
        "a.jpg?w=800",
        "a.jpg:large",
        "a.jpg!thumb",
        "a",
        "a.bin",
        "a.7",
        "a&b#1.jpg",
        "what?",
    ],
)
def test_a_picture_is_found_whatever_its_name(tmp_path: Path, name: str) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / name).write_bytes(encode(scene(1), "JPEG"))
    assert register(tmp_path / "store.duckdb", tmp_path / "images", FramesConfig()).new == 1


@pytest.mark.parametrize(
    ("format_", "suffix"),
    [("JPEG", "jpg"), ("PNG", "png"), ("WEBP", "webp"), ("BMP", "bmp"), ("TIFF", "tif"), ("GIF", "gif")],
)
def test_pictures_are_known_by_their_first_bytes_and_texts_and_noise_are_none(
    tmp_path: Path, format_: str, suffix: str
) -> None:
    (tmp_path / "x").write_bytes(encode(scene(1), format_))
    assert kind_of(tmp_path / "x") == kind_of(tmp_path / f"y.{suffix}") == "image"
    for index, other in enumerate(
        [b"", b"BM is a text about pictures", b"\x00" * 400, b"import { a } from 'b';\n" * 20]
    ):
        for name in (f"x{index}", f"x{index}.ts"):
            (tmp_path / name).write_bytes(other)
            assert kind_of(tmp_path / name) == "other"


FAULTS = [
    MemoryError(),
    RecursionError("deep"),
    OverflowError("far"),
    UnicodeError("\ud800"),
    KeyError("x"),
    OSError("no"),
]


def test_what_the_system_numbers_is_told_without_the_number() -> None:
    error = OSError(1094995529, "Invalid data found when processing input", "14")
    assert failed(error).detail == "OSError: Invalid data found when processing input"
    assert failed(OSError("no")).detail == "OSError: no"


@pytest.mark.parametrize("error", FAULTS, ids=lambda error: type(error).__name__)
def test_whatever_one_file_raises_is_its_rejection_and_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    images, store = tmp_path / "images", tmp_path / "store.duckdb"
    folder_of(images, 3)
    write_video(images / "film.mp4", [view(0)] * 10)
    bad = (images / "001.png").read_bytes()

    def header(data: bytes, *rest: object, **more: object) -> object:
        if data == bad:
            raise error
        return headers.read_header(data, *rest, **more)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(sys.modules["wmsd_core.frames.register"], "read_header", header)
    monkeypatch.setattr(videos, "take", lambda *_: (_ for _ in ()).throw(error))
    found = register(store, images, FramesConfig())
    assert (found.new, found.rejected) == (2, {"failed": 2})
    assert rejections(store, "frames") == {"001.png": {"failed"}, "film.mp4": {"failed"}}
    assert type(error).__name__ in caplog.text and visible(caplog.text) == caplog.text
    monkeypatch.setattr(decode, "_decode", lambda *_: (_ for _ in ()).throw(error))
    assert measure_frames(store, left(store, "frames"), SMALL).unusable == 2


def test_a_full_disk_is_no_fault_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_video(tmp_path / "film.mp4", [view(0)] * 10)
    full = OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr(videos, "_write", lambda *_: (_ for _ in ()).throw(full))
    with pytest.raises(OSError, match="No space left"):
        register(tmp_path / "store.duckdb", tmp_path / "film.mp4", FramesConfig())


ODD: list[tuple[object, str]] = [
    ({"path": "000.png", "licence": 7, "source": ["x"]}, "registered"),
    ({"path": "001.png", "licence": "CC\ud800", "source": "a\udcff"}, "registered"),
    ({"path": "x" * 300 + ".png"}, "rejected"),
    ({"path": "a\ud800.png"}, "rejected"),
    ({"path": "a\0.png"}, "rejected"),
    ({"path": 10**400}, "rejected"),
    ({"path": {}}, "rejected"),
    ("text", "rejected"),
    (None, "rejected"),
]


def test_odd_lines_are_told_one_by_one_and_a_bad_value_costs_no_row(tmp_path: Path) -> None:
    folder_of(tmp_path, 3)
    manifest, store = tmp_path / "list.jsonl", tmp_path / "store.duckdb"
    texts = [json.dumps(line).encode() for line, _ in ODD]
    texts += [b'{"path": "002.png", "licence": 1e400}', b"[" * 5000, b'{"path": "\xff.png"}', b"9" * 5000]
    manifest.write_bytes(b"\n".join(texts))
    register(store, manifest, FramesConfig())
    fates = [*(fate for _, fate in ODD), "registered", *["rejected"] * 3]
    assert [lines(store)[f"list.jsonl:{number}"][0] for number in range(1, len(fates) + 1)] == fates
    assert len(lines(store)) == len(fates)
    with reading(store) as con:
        assert query(con, "SELECT licence FROM frames ORDER BY path") == [
            {"licence": ""},
            {"licence": r"CC\ud800"},
            {"licence": ""},
        ]
        ((_, _, reason, detail),) = ledger.look(con, None, None, "jsonl:1", 1)
    assert (reason, detail) == (
        "value_left_out",
        "its source is no text and was left out; its licence is no text and was left out",
    )


def test_bytes_in_parquet_that_are_no_text_cost_their_row_or_value_only(tmp_path: Path) -> None:
    folder_of(tmp_path, 3)
    broken = pa.array([b"000.png", b"\xff.png", b"002.png"]).view(pa.string())
    licence = pa.array([b"CC0", b"CC0", b"\xfe"]).view(pa.string())
    pq.write_table(pa.table({"path": broken, "licence": licence}), tmp_path / "list.parquet")
    store = tmp_path / "store.duckdb"
    register(store, tmp_path / "list.parquet", FramesConfig())
    assert lines(store) == {
        "list.parquet:1": ("registered", ""),
        "list.parquet:2": ("rejected", "incomplete"),
        "list.parquet:3": ("registered", "value_left_out"),
    }


def stored(store: Path) -> list[dict[str, str]]:
    with reading(store) as con:
        return query(con, "SELECT licence, source FROM frames ORDER BY path")


@pytest.mark.parametrize("apart", [False, True])
def test_of_two_lines_about_one_content_the_first_wins_in_every_run_and_the_other_is_told(
    tmp_path: Path, apart: bool
) -> None:
    folder_of(tmp_path, 1)
    (tmp_path / "copy.png").write_bytes((tmp_path / "000.png").read_bytes())
    manifest, store = tmp_path / "list.jsonl", tmp_path / "store.duckdb"
    filling = [json.dumps({"path": f"gone{index}.png"}) for index in range(1200 if apart else 0)]  # more than a batch
    first = {"path": "000.png", "licence": "CC0", "source": "a"}
    rest = [
        {"path": "000.png", "licence": "GPL", "source": "b"},
        {"path": "000.png", "source": "c"},
        {"path": "copy.png", "licence": "MIT"},
        {"path": "000.png", "licence": "CC0"},
    ]
    manifest.write_text("\n".join([json.dumps(first), *filling, *map(json.dumps, rest)]))
    for _ in range(3):
        register(store, manifest, FramesConfig())
        assert stored(store) == [{"licence": "CC0", "source": "a"}]
        number = len(filling) + 2
        with reading(store) as con:
            found = {
                item.rpartition(":")[2]: (reason, detail)
                for item, _, reason, detail in ledger.look(con, None, None, None, 9999)
            }
        assert [found[str(number + index)][0] for index in range(4)] == [
            "contradiction",
            "contradiction",
            "duplicate",
            "",
        ]
        assert "licence 'GPL', and not 'CC0' and source 'b', and not 'a'" in found[str(number)][1]
        assert "licence 'MIT', and not 'CC0'" in found[str(number + 2)][1]
    manifest.write_text(json.dumps({"path": "000.png", "licence": "GPL", "source": "b"}))  # another edition may say so
    assert register(store, manifest, FramesConfig()).rejected == {}
    assert stored(store) == [{"licence": "GPL", "source": "b"}]


def test_of_two_manifests_the_first_wins_in_every_run(tmp_path: Path) -> None:
    folder_of(tmp_path, 1)
    for name, licence in (("a", "CC0"), ("b", "GPL")):
        (tmp_path / f"{name}.jsonl").write_text(json.dumps({"path": "000.png", "licence": licence}))
    store = tmp_path / "store.duckdb"
    for _ in range(2):
        found = register(store, [str(tmp_path / "a.jsonl"), str(tmp_path / "b.jsonl")], FramesConfig())
        assert found.rejected == {"contradiction": 1}
        assert stored(store)[0]["licence"] == "CC0"


def test_a_copy_of_a_video_changes_nothing(tmp_path: Path) -> None:
    film = write_video(tmp_path / "a.mp4", [view(0)] * 10)
    (tmp_path / "b.mp4").write_bytes(film.read_bytes())
    store = tmp_path / "store.duckdb"
    for _ in range(2):
        register(store, tmp_path, FramesConfig())
        with reading(store) as con:
            assert query(con, "SELECT DISTINCT video FROM frames") == [{"video": str(film)}]
    assert lines(store) == {"a.mp4": ("registered", ""), "b.mp4": ("registered", ""), "store.duckdb": ("ignored", "")}


def test_names_find_each_other_however_their_accents_are_written(tmp_path: Path) -> None:
    for form, other in (("NFC", "NFD"), ("NFD", "NFC")):
        folder = tmp_path / form / unicodedata.normalize(form, "é")
        folder.mkdir(parents=True)
        path = folder / unicodedata.normalize(form, "ü.png")
        path.write_bytes(encode(scene(len(form) + ord(form[2]))))
        asked = unicodedata.normalize(other, "é/ü.png")
        assert existing(tmp_path / form, asked) == path
        (tmp_path / form / "list.jsonl").write_text(json.dumps({"path": asked}))
        for source in ("list.jsonl", asked, unicodedata.normalize(other, "*/ü.*")):
            store = tmp_path / f"{form}{len(source)}.duckdb"
            assert register(store, tmp_path / form / source, FramesConfig()).new == 1
    assert existing(tmp_path, "é.png") is None and existing(tmp_path, "x" * 300) is None
    assert existing(tmp_path, "a\ud800") is None and existing(tmp_path, "a\0") is None


@pytest.fixture
def deep(tmp_path: Path) -> Generator[Path]:
    """A file below 1,100 folders, which go with it: pytest could not remove them."""
    made = [str(tmp_path / "c") + "/d" * depth for depth in range(1100)]
    for folder in made:
        os.mkdir(folder)  # noqa: PTH102 - pathlib's own functions go by recursion
    file = Path(made[-1] + "/d")
    yield file
    file.unlink()
    for folder in reversed(made):
        os.rmdir(folder)  # noqa: PTH106


def test_a_folder_that_cannot_be_listed_and_one_that_is_nested_too_deep_end_nothing(
    tmp_path: Path, deep: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder_of(tmp_path / "a", 1)
    folder_of(tmp_path / "b", 1, first=1)
    deep.write_bytes(encode(scene(2)))
    scandir = os.scandir

    def refusing(path: Path) -> object:
        if Path(path) == tmp_path / "a":
            raise PermissionError(errno.EACCES, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    assert [path.name for path in walk(tmp_path)] == ["a", "001.png", "d"]
    assert register(tmp_path / "store.duckdb", tmp_path, FramesConfig()).new == 2
