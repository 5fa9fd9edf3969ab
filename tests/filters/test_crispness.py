"""Blur of any kind reads as little fine detail; sharp pictures of any size, contrast and grain do not."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.frames.pictures import encode, left, rejections
from tests.reference import REFERENCE
from wmsd_core.filters import FilterConfig, MeasureConfig, decide, measure_frames
from wmsd_core.filters.crispness import crispness
from wmsd_core.frames import FramesConfig, register
from yardsticks.defects import moved

LEAST = FilterConfig().min_crispness
FRAMES = sorted((REFERENCE / "frames").glob("*"))


def published(path: Path, width: int = 640) -> np.ndarray:
    full = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    return cv2.resize(full, (width, round(width * full.shape[0] / full.shape[1])), interpolation=cv2.INTER_AREA)


def noisy(picture: np.ndarray, levels: float) -> np.ndarray:
    grain = np.random.default_rng(0).normal(0, levels, picture.shape)
    return (picture + grain).round().clip(0, 255).astype(np.uint8)


def edges(side: int = 320) -> np.ndarray:
    """Blocks at whole multiples of 40 pixels, so that edges are hard and rare."""
    levels = np.random.default_rng(0).integers(40, 216, (side // 40, side // 40), dtype=np.uint8)
    return levels.repeat(40, 0).repeat(40, 1)


def test_hard_edges_are_a_quarter_and_ramps_of_eight_pixels_a_sixteenth() -> None:
    assert crispness(edges()) == pytest.approx(0.25, rel=0.2)
    ramps = cv2.blur(edges(), (8, 8))  # over a ramp, (1 / 4) ** 2, and a little more at its ends
    assert 1 / 16 < crispness(ramps) < 1.5 / 16


def test_contrast_does_not_count() -> None:
    assert crispness(edges() // 4) == pytest.approx(crispness(edges()), rel=0.02)


@pytest.mark.parametrize("path", FRAMES, ids=lambda path: path.name)
@pytest.mark.parametrize("width", [256, 640])
def test_published_frames_are_crisp_small_ones_and_noisy_ones_too(path: Path, width: int) -> None:
    picture = published(path, width)
    assert crispness(picture) > LEAST
    assert crispness(noisy(picture, 3)) > LEAST


@pytest.mark.parametrize("path", FRAMES, ids=lambda path: path.name)
@pytest.mark.parametrize("degrees", [0, 20, 45, 70, 90, 110, 135, 160])
def test_published_frames_that_were_smeared_in_any_direction_are_unsharp(path: Path, degrees: float) -> None:
    assert crispness(moved(published(path), 15, np.deg2rad(degrees))) < LEAST


@pytest.mark.parametrize("path", FRAMES, ids=lambda path: path.name)
def test_grain_over_a_blur_does_not_pass_for_detail(path: Path) -> None:
    blurred = cv2.GaussianBlur(published(path), (0, 0), 3)
    assert crispness(blurred) < LEAST
    assert crispness(noisy(blurred, 2)) < LEAST


@pytest.mark.parametrize("shape", [(1, 1), (30, 30), (8, 640), (640, 8), (20, 40)])
def test_a_picture_that_is_too_small_or_shows_nothing_is_not_called_unsharp(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    assert 0 <= crispness(rng.integers(0, 256, shape, dtype=np.uint8)) <= 1.5
    assert crispness(np.full(shape, 77, np.uint8)) == 1


@pytest.mark.skipif(not FRAMES, reason="the published frames are not at hand")
def test_a_small_sharp_file_passes_the_stage_and_a_shaken_one_is_unsharp(tmp_path: Path) -> None:
    """256 pixels wide, so that it would be enlarged two and a half times if it were brought to the working width."""
    picture, images = published(FRAMES[0], 256), tmp_path / "images"
    images.mkdir()
    square = picture[:, : picture.shape[1]]
    tall = np.vstack([square, square[::-1]])  # no side below filter.min_side
    (images / "sharp.png").write_bytes(encode(cv2.cvtColor(tall, cv2.COLOR_GRAY2RGB)))
    (images / "shaken.png").write_bytes(encode(cv2.cvtColor(moved(tall, 15, np.deg2rad(30)), cv2.COLOR_GRAY2RGB)))
    store = tmp_path / "store.duckdb"
    register(store, images, FramesConfig())
    measure_frames(store, left(store, "frames"), MeasureConfig())
    decide(store, MeasureConfig(), FilterConfig())
    assert rejections(store, "filter") == {"shaken.png": {"unsharp"}}
