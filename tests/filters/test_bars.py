"""Bars are found through JPEG, and nothing dark is taken for one."""

import cv2
import numpy as np
import pytest

from wmsd_core.filters.bars import bars

H, W = 360, 640


def texture(low: int = 40, high: int = 216, seed: int = 0, shape: tuple[int, int] = (H, W)) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return cv2.resize(rng.integers(low, high, (shape[0] // 8, shape[1] // 8), dtype=np.uint8), shape[::-1])


def framed(picture: np.ndarray, rows: int, columns: int, level: int = 0) -> np.ndarray:
    found = np.full((H, W), level, np.uint8)
    inner = picture[rows : H - rows, columns : W - columns]
    found[rows : H - rows, columns : W - columns] = inner
    return found


def jpeg(picture: np.ndarray, quality: int = 75) -> np.ndarray:
    """Through JPEG in twice the size, as a file is, and back."""
    big = cv2.resize(picture, (2 * W, 2 * H), interpolation=cv2.INTER_NEAREST)
    data = cv2.imencode(".jpg", big, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return cv2.imdecode(data, cv2.IMREAD_REDUCED_GRAYSCALE_2)


@pytest.mark.parametrize("level", [0, 16])
@pytest.mark.parametrize(("rows", "columns"), [(46, 0), (0, 80), (46, 80), (6, 0), (0, 8)])
def test_bars_are_measured_exactly(rows: int, columns: int, level: int) -> None:
    expected = 1 - (H - 2 * rows) * (W - 2 * columns) / (H * W)
    assert bars(framed(texture(), rows, columns, level)) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("quality", [40, 75, 95])
@pytest.mark.parametrize(("low", "high"), [(40, 216), (0, 70)])
def test_noise_of_jpeg_and_a_dark_scene_hide_no_bars(quality: int, low: int, high: int) -> None:
    picture = framed(texture(low, high), 45, 0, 16).astype(int)
    picture += np.random.default_rng(1).integers(-4, 5, picture.shape)
    assert bars(jpeg(picture.clip(0, 255).astype(np.uint8), quality)) == pytest.approx(0.25, abs=0.03)


def test_a_dark_scene_has_none() -> None:
    sky = texture(60, 200)
    sky[:150] = np.random.default_rng(1).integers(0, 12, (150, W))  # night above a lit street
    assert bars(jpeg(sky)) == 0
    space = np.zeros((H, W), np.uint8)  # a few bright things in the dark, as in games of the eighties
    for x in range(20, W, 160):
        cv2.circle(space, (x, H // 2), 20, 220, -1)
    assert bars(jpeg(space)) == 0
    glow = np.clip(200 - np.abs(np.arange(H) - H / 2) * 1.6, 0, 255)  # dark at both ends, and no straight edge
    assert bars(jpeg((glow[:, None] * np.linspace(0, 1, W) ** 3).astype(np.uint8))) == 0
    assert bars(np.zeros((H, W), np.uint8)) == 0


def test_one_bar_is_none_and_unequal_ones_are_none() -> None:
    """A status line at the bottom is black and straight as well."""
    picture = texture()
    picture[-60:] = 0
    assert bars(picture) == 0
    picture[:20] = 0
    assert bars(picture) == 0
    picture[:60] = 0
    assert bars(picture) == pytest.approx(1 / 3)


@pytest.mark.parametrize("shape", [(1, 1), (1, 640), (2, 3), (640, 1)])
def test_tiny_pictures_are_no_trouble(shape: tuple[int, int]) -> None:
    for level in (0, 200):
        assert bars(np.full(shape, level, np.uint8)) == 0
