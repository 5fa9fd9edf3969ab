"""The rule for cuts, on pictures whose changes are known."""

import numpy as np
import pytest

from wmsd_core.arrays import Image
from wmsd_core.frames.scenes import cuts, is_blank
from wmsd_core.frames.spread import Spread

THRESHOLD = 12.0


def grey(level: float) -> Image:
    return np.full((27, 48, 3), round(level), np.uint8)


def begins(pictures: list[Image]) -> list[int]:
    marked = list(cuts(((picture, index) for index, picture in enumerate(pictures)), THRESHOLD))
    assert [index for index, _ in marked] == list(range(len(pictures)))
    return [index for index, begin in marked if begin]


@pytest.mark.parametrize("length", range(8))
def test_every_picture_comes_out_once_and_in_order_and_nothing_begins_where_nothing_changes(length: int) -> None:
    assert begins([grey(100)] * length) == []


@pytest.mark.parametrize("at", [1, 2, 3, 10, 18, 19])
def test_a_cut_is_found_wherever_it_is(at: int) -> None:
    assert begins([grey(50)] * at + [grey(150)] * (20 - at)) == [at]


def test_a_change_at_the_threshold_is_a_cut_and_one_below_is_none() -> None:
    assert begins([grey(100)] * 5 + [grey(112)] * 5) == [5]
    assert begins([grey(100)] * 5 + [grey(111)] * 5) == []


def test_a_cut_must_stand_out_from_the_motion_around_it() -> None:
    def moving(step: int, cut: int) -> list[Image]:  # the neighbours' mean change is `step`, the cut's `cut`
        levels = np.cumsum([0] + [step] * 5 + [cut] + [step] * 5)
        return [grey(level) for level in levels]

    assert begins(moving(10, 30)) == [6]  # 30 = 3 * 10
    assert begins(moving(10, 29)) == []


def test_a_flash_is_no_cut_whether_one_or_two_pictures_long() -> None:
    for length in (1, 2):
        assert begins([grey(60)] * 8 + [grey(250)] * length + [grey(60)] * 8) == []


def test_blank_pictures_are_told_by_their_spread() -> None:
    assert is_blank(grey(0)) and is_blank(grey(255))
    half = np.zeros((2, 2, 3), np.uint8)
    half[0] = 6  # a standard deviation of 3
    assert not is_blank(half)
    half[0] = 5
    assert is_blank(half)


@pytest.mark.parametrize("limit", [1, 2, 5, 8])
@pytest.mark.parametrize("length", [0, 1, 5, 8, 9, 1000])
def test_a_spread_is_even_bounded_and_accounts_for_every_item(limit: int, length: int) -> None:
    spread: Spread[int] = Spread(limit)
    dropped = [other for item in range(length) for other in spread.add(item)]
    assert sorted([*spread.items, *dropped]) == list(range(length))
    assert min(length, (limit + 1) // 2) <= len(spread.items) <= limit
    assert len(set(np.diff(spread.items).tolist())) <= 1
