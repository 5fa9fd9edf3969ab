"""Image statistics against closed forms."""

import math

import numpy as np
import pytest

from wmsd_core.ranking.statistics import ImageStatistics, colourfulness, contrast, detail


def plain(*rgb: int) -> np.ndarray:
    return np.full((16, 16, 3), rgb, np.uint8)


def test_grey_has_no_colour_and_pure_red_the_published_formula() -> None:
    assert colourfulness(plain(90, 90, 90)) == 0
    assert colourfulness(plain(255, 0, 0)) == pytest.approx(0.3 * math.hypot(255, 127.5), rel=1e-6)


def test_half_red_half_green_has_the_spread_of_its_opponent_axis() -> None:
    picture = plain(255, 0, 0)
    picture[:8] = (0, 255, 0)
    assert colourfulness(picture) == pytest.approx(255 + 0.3 * 127.5, rel=1e-6)  # rg is +-255, yb 127.5 throughout


def test_contrast_and_detail_of_black_and_white() -> None:
    picture = plain(0, 0, 0)
    picture[:, 8:] = 255
    assert contrast(picture) == pytest.approx(127.5)
    assert detail(picture) == pytest.approx(255 * math.sqrt(2 / 16))  # +-255 in two of sixteen columns
    assert detail(plain(9, 9, 9)) == 0


def test_the_score_is_zero_for_uniform_grey_and_prefers_colour_and_contrast() -> None:
    dull, vivid = plain(128, 128, 128), plain(200, 30, 30)
    vivid[::2] = (30, 30, 220)
    scores = [ImageStatistics.score(picture) for picture in (dull, vivid)]
    assert scores[0] == 0
    assert scores[1] > 10
