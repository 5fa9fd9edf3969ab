"""What the Prefect UI shows of a workspace: links that a browser can follow, pictures, and text that stays text."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tasks.artifacts import Markdown, address, grid, picture, short_path, table, thumbnails
from wmsd_core.frames import clips
from wmsd_core.pages.images import write_clip


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "workspace"
    root.mkdir()
    monkeypatch.setenv("WMSD_PAGES", "http://127.0.0.1:4201")
    monkeypatch.setenv("WMSD_WORKSPACE", str(root))
    return root


def test_a_file_is_linked_over_http_where_its_workspace_is_served_and_else_as_a_file(served: Path) -> None:
    assert address(served, served / "a b.html") == "http://127.0.0.1:4201/a%20b.html"
    other = served.with_name("other")
    assert address(other, other / "report.html") == (other / "report.html").as_uri()


def test_paths_are_short_enough_for_a_table(served: Path) -> None:
    assert short_path(served, served / "frames" / "one.png") == "frames/one.png"
    assert short_path(served, "/somewhere/far/away/two.png") == "away/two.png"


def test_text_from_outside_stays_text_and_cannot_fetch_anything(served: Path) -> None:
    shown = table(["task|s"], [["![](http://elsewhere/x.png)\n<b>*"], [picture(served, served / "x.png")]])
    assert shown.splitlines() == [
        "| task\\|s |",
        "| --- |",
        "| \\!\\[\\](http://elsewhere/x.png) \\<b\\>\\* |",
        "| ![](http://127.0.0.1:4201/x.png) |",
    ]


def test_thumbnails_are_made_once_of_what_can_be_decoded_and_few_pixels_are_shown_large(served: Path) -> None:
    (served / "broken.png").write_bytes(b"no picture")
    Image.new("RGB", (40, 20), "red").save(served / "small.png")
    Image.new("RGB", (640, 320)).save(served / "large.png")
    made = thumbnails(served, {name: served / f"{name}.png" for name in ("small", "large", "broken")})
    assert made == {name: f"![](http://127.0.0.1:4201/pictures/{name}.png)" for name in ("small", "large")}
    for name in made:
        with Image.open(served / "pictures" / f"{name}.png") as found:
            assert found.size == {"small": (120, 60), "large": (140, 70)}[name]
    (served / "small.png").unlink()
    assert "small" in thumbnails(served, {"small": served / "small.png"})


def test_a_long_name_is_cut_and_a_grid_has_a_name_above_each_picture() -> None:
    lines = grid([(Markdown("![](a)"), "n" * 50), (Markdown("![](b)"), "b")]).splitlines()
    assert lines[0] == f"| {'n' * 24}... | b |" and lines[2] == "| ![](a) | ![](b) |"


def test_a_clip_is_shown_moving_and_large(tmp_path: Path) -> None:
    video = np.random.default_rng(0).integers(0, 256, (5, 20, 20, 3), dtype=np.uint8)
    assert write_clip(clips.write(video, tmp_path)[0], tmp_path / "small.webp")
    with Image.open(tmp_path / "small.webp") as found:
        assert (found.n_frames, found.size) == (5, (140, 140))  # pyright: ignore[reportAttributeAccessIssue]
        assert (np.asarray(found.convert("RGB"))[::7, ::7] == video[0]).all()
    assert not write_clip(tmp_path / "gone.png", tmp_path / "none.webp")
