"""Text of known area is measured as such, textures that look like strokes are not, and nothing of it happens unasked."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import cast

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from tests.frames.pictures import LENIENT, SMALL, encode, left, registered
from tests.reference import REFERENCE
from wmsd_core.filters import FilterConfig, MeasureConfig, decide, measure_frames
from wmsd_core.filters.calibrate import calibrate
from wmsd_core.filters.overlay import detector, overlay
from wmsd_core.filters.preview import write_preview
from wmsd_core.frames import FramesConfig, register
from wmsd_core.store import query, reading

H, W = 360, 640
LIMIT = FilterConfig().max_overlay
ROWS = [
    "The keeper opens the gate,",
    "walks across to the harbour",
    "and waits until the boat is",
    "near enough to be boarded.",
]


def ground(level: int, grain: int = 6) -> np.ndarray:
    """A soft, uneven ground, as a picture that is out of focus."""
    noise = np.random.default_rng(0).integers(-grain, grain + 1, (H // 40, W // 40)).astype(np.float32)
    return (level + cv2.resize(noise, (W, H))).astype(np.uint8)


def written(picture: np.ndarray, rows: list[str], size: int, level: int) -> tuple[np.ndarray, float]:
    """The picture with rows of text, and the fraction of it that their ink's bounding boxes take."""
    image, covered = Image.fromarray(picture), np.zeros(picture.shape)
    font = ImageFont.load_default(size)
    for number, row in enumerate(rows):
        place = (30, 20 + round(1.4 * number * size))
        ImageDraw.Draw(image).text(place, row, fill=level, font=font)
        box = ImageDraw.Draw(image).textbbox(place, row, font=font)
        covered[int(box[1]) : int(box[3]), int(box[0]) : int(box[2])] = 1
    return np.asarray(image), float(covered.mean())


@pytest.mark.parametrize("level", [(90, 255), (200, 20), (120, 190)])
@pytest.mark.parametrize(("rows", "size"), [(1, 16), (1, 40), (4, 12), (4, 24)])
def test_lines_of_text_cover_a_little_more_than_their_ink(rows: int, size: int, level: tuple[int, int]) -> None:
    """The detector's quadrangles stand off the ink by a share of a line's height."""
    picture, ink = written(ground(level[0]), ROWS[:rows], size, level[1])
    assert ink < overlay(picture) < 2 * ink


def test_slanted_lines_are_found() -> None:
    picture, ink = written(ground(60), ROWS, 24, 230)
    turn = cv2.getRotationMatrix2D((W / 2, H / 2), 20, 1)
    assert overlay(cv2.warpAffine(picture, turn, (W, H), borderValue=60)) > 0.8 * ink


def bricks() -> np.ndarray:
    picture = np.full((H, W), 90, np.uint8)
    for row, y in enumerate(range(0, H, 20)):
        for x in range(-20 * (row % 2), W, 40):
            picture[y + 3 : y + 20, max(0, x + 3) : x + 40] = 160
    return picture


def foliage() -> np.ndarray:
    """Smooth noise cut at its median: blobs and strokes of every direction."""
    noise = cv2.GaussianBlur(np.random.default_rng(1).normal(size=(H, W)).astype(np.float32), (0, 0), 3)
    return np.where(noise > np.median(noise), 60, 180).astype(np.uint8)


def noise() -> np.ndarray:
    return np.random.default_rng(2).integers(0, 256, (H, W), dtype=np.uint8)


def fence() -> np.ndarray:
    picture = np.full((H, W), 60, np.uint8)
    for x in range(10, W, 14):
        picture[150:180, x : x + 6] = 220
    return picture


@pytest.mark.parametrize("texture", [lambda: ground(128), bricks, foliage, noise, fence])
def test_textures_are_no_text(texture: Callable[[], np.ndarray]) -> None:
    assert overlay(texture()) < LIMIT / 5


@pytest.mark.parametrize("shape", [(1, 1), (1, 640), (31, 640), (640, 5), (32, 640), (640, 33), (37, 41)])
def test_tiny_and_odd_pictures_are_no_trouble(shape: tuple[int, int]) -> None:
    assert overlay(np.full(shape, 90, np.uint8)) == 0


def small(path: Path) -> np.ndarray:
    grey = cast(np.ndarray, cv2.imread(str(path), cv2.IMREAD_GRAYSCALE))
    return cv2.resize(grey, (W, round(W * grey.shape[0] / grey.shape[1])), interpolation=cv2.INTER_AREA)


@pytest.mark.skipif(not (REFERENCE / "frames").exists(), reason="the published frames are not here")
def test_of_the_published_frames_one_is_beyond_the_threshold() -> None:
    """A race track full of makers' names: text in the scene counts. The displays and signs of the other eleven stay below."""
    beyond = [path.name for path in (REFERENCE / "frames").glob("*") if overlay(small(path)) > LIMIT]
    assert beyond == ["6888_1.png"]


def test_that_the_detector_is_not_installed_is_said_once_and_is_no_pictures_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, ids = registered(tmp_path, 2)
    monkeypatch.setitem(sys.modules, "rapidocr", None)
    detector.cache_clear()
    with pytest.raises(ValueError, match=r"pip install 'wmsd\[ocr\]'"):
        measure_frames(store, ids, SMALL.model_copy(update={"overlay": True}))
    assert left(store, "frames") == ids


def titled(tmp_path: Path) -> tuple[Path, list[str]]:
    """A store of a picture with much text and one without."""
    (tmp_path / "images").mkdir()
    for name, rows in (("plain", []), ("titled", ROWS)):
        picture = written(ground(90), rows, 40, 255)[0]
        (tmp_path / "images" / f"{name}.png").write_bytes(encode(np.stack([picture] * 3, axis=-1)))
    register(tmp_path / "store.duckdb", tmp_path / "images", FramesConfig())
    return tmp_path / "store.duckdb", left(tmp_path / "store.duckdb", "frames")


def test_heavy_text_is_dropped_where_asked_for(tmp_path: Path) -> None:
    store, ids = titled(tmp_path)
    asked, config = MeasureConfig(overlay=True), FilterConfig(min_sharpness=0, max_flatness=1)
    measure_frames(store, ids, asked)
    assert decide(store, asked, config).reasons == {"overlay": 1}
    with reading(store) as con:
        rows = query(con, "SELECT path, overlay FROM measurements JOIN frames USING (frame_id) ORDER BY path")
        dropped = query(con, "SELECT path, detail FROM rejections WHERE stage = 'filter'")
    assert rows[0]["overlay"] == 0 and rows[1]["overlay"] > 0.2
    assert Path(dropped[0]["path"]).name == "titled.png" and "fraction of text" in dropped[0]["detail"]
    assert calibrate(store, asked, config, 0.5).ruled_out == 1
    assert "Fraction of text" in write_preview(store, tmp_path / "a.html", asked, config).path.read_text(
        encoding="utf-8"
    )


def test_where_it_was_not_asked_for_nothing_is_dropped_and_nothing_else_differs(tmp_path: Path) -> None:
    store, ids = titled(tmp_path)
    config = FilterConfig(min_sharpness=0, max_flatness=1, max_overlay=0)
    for asked in (False, True):
        measure_frames(store, ids, MeasureConfig(overlay=asked))
    assert decide(store, MeasureConfig(), config).kept == 2
    with reading(store) as con:
        figures = "frame_id, working_width, sharpness, luminance, near_black, near_white, flatness, bars"
        alike = query(con, f"SELECT count(*) AS n FROM measurements GROUP BY {figures}")
        empty = query(con, "SELECT count(*) AS n FROM measurements WHERE overlay IS NULL")
    assert [row["n"] for row in alike] == [2, 2] and empty[0]["n"] == 2
    assert calibrate(store, MeasureConfig(), config, 1).ruled_out == 0
    found = write_preview(store, tmp_path / "a.html", MeasureConfig(), config)
    assert found.kept == 2 and "Fraction of text" not in found.path.read_text(encoding="utf-8")


def test_a_small_store_is_measured_at_its_own_width(tmp_path: Path) -> None:
    store, ids = registered(tmp_path, 2)
    asked = SMALL.model_copy(update={"overlay": True})
    assert measure_frames(store, ids, asked).measured == 2
    assert decide(store, asked, LENIENT).kept == 2
