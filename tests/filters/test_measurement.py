"""Measurements against closed forms."""

import numpy as np
import pytest

from wmsd_core.filters.measurement import measure


@pytest.mark.parametrize("level", [0, 15, 16, 100, 239, 240, 255])
def test_a_constant_picture(level: int) -> None:
    found = measure(np.full((30, 40), level, np.uint8))
    assert (found.sharpness, found.luminance, found.flatness) == (0, level, 1)
    assert (found.near_black, found.near_white) == (level < 16, level >= 240)


def test_a_checkerboard_has_the_laplacian_of_the_arithmetic() -> None:
    """Every neighbour of a square differs by 10, so the Laplacian is +-40 everywhere, with variance 1600."""
    board = np.full((32, 32), 100, np.uint8)
    board[::2, ::2] = board[1::2, 1::2] = 110
    assert measure(board).sharpness == pytest.approx(1600, abs=1e-9)


def test_the_strongest_contrast_does_not_overflow() -> None:
    board = np.zeros((32, 32), np.uint8)
    board[::2, ::2] = board[1::2, 1::2] = 255
    assert measure(board).sharpness == pytest.approx(1020**2, rel=1e-12)


def test_sharpness_is_the_variance_in_float64() -> None:
    """Large and of full contrast, so that a sum in 32 bits would overflow; bright, so that the mean must be taken off."""
    picture = np.random.default_rng(0).integers(0, 2, (400, 640), dtype=np.uint8) * 255
    picture[:200] = np.linspace(0, 255, 640).astype(np.uint8)
    wide = np.pad(picture.astype(np.float64), 1, mode="reflect")
    laplacian = wide[:-2, 1:-1] + wide[2:, 1:-1] + wide[1:-1, :-2] + wide[1:-1, 2:] - 4 * wide[1:-1, 1:-1]
    assert abs(laplacian.mean()) > 1e-3
    assert measure(picture).sharpness == pytest.approx(laplacian.var(), rel=1e-12)


def test_fractions_are_exact() -> None:
    picture = np.full((10, 10), 128, np.uint8)
    picture[0] = 15
    picture[1] = 16
    picture[2:5] = 240
    found = measure(picture)
    assert (found.near_black, found.near_white, found.flatness) == (0.1, 0.3, 0.5)
    assert found.luminance == pytest.approx(0.1 * 15 + 0.1 * 16 + 0.3 * 240 + 0.5 * 128)


def test_flatness_does_not_depend_on_where_the_bands_lie() -> None:
    """Levels 239 and 240 lie in different fixed sixteenths and are one flat surface all the same."""
    picture = np.full((10, 10), 239, np.uint8)
    picture[::2] = 240
    assert measure(picture).flatness == 1
    picture[::2] = 254  # 239 to 254 are sixteen levels, 239 to 255 are seventeen
    assert measure(picture).flatness == 1
    picture[::2] = 255
    assert measure(picture).flatness == 0.5
