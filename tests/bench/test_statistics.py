import math
from itertools import product
from typing import Any

import numpy as np
import pytest
from scipy import stats

from wmsd_core.bench.statistics import (
    Interval,
    clopper_pearson,
    difference_interval,
    holm,
    mean_interval,
    missing_bounds,
    missing_extremes,
    sign_flip,
    t_quantile,
    t_two_sided,
    unbounded_interval,
    wilson,
)
from yardsticks import coverage


def assert_same(interval: Interval, low: float, high: float):
    assert interval.low == pytest.approx(low, rel=1e-12, abs=1e-12)
    assert interval.high == pytest.approx(high, rel=1e-12, abs=1e-12)


def test_wilson_agrees_with_published_values():
    interval = wilson(1, 47)
    assert round(interval.low, 3) == 0.004
    assert round(interval.high, 3) == 0.111
    interval = wilson(81, 263)  # Newcombe, Statistics in Medicine 17 (1998), table I: .2553 to .3662
    assert (round(interval.low, 4), round(interval.high, 4)) == (0.2553, 0.3662)


def test_wilson_solves_the_score_equation():
    """Both ends p satisfy (k/n - p)^2 = z^2 p (1 - p) / n, at round and at fractional counts."""
    for k, n in ((3, 10), (117.333, 196), (199, 200)):
        interval = wilson(k, n)
        for p in (interval.low, interval.high):
            assert math.isclose((k / n - p) ** 2, 1.959963984540054**2 * p * (1 - p) / n, rel_tol=1e-12)


def test_wilson_at_the_ends():
    z2 = 1.959963984540054**2
    assert wilson(0, 20).low == 0
    assert math.isclose(wilson(0, 20).high, z2 / (20 + z2), rel_tol=1e-12)
    assert math.isclose(wilson(20, 20).low, 20 / (20 + z2), rel_tol=1e-12)
    for k, n in ((0, 0), (3, 2), (-1, 2)):
        with pytest.raises(ValueError):
            wilson(k, n)


def test_wilson_agrees_with_scipy():
    for n in (1, 2, 8, 200):
        for k in sorted({0, 1, n // 2, n - 1, n}):
            found = stats.binomtest(k, n).proportion_ci(method="wilson")
            assert_same(wilson(k, n), found.low, found.high)


def test_the_exact_interval_agrees_with_scipy():
    for n in (1, 2, 9, 50, 1000):
        for k in sorted({0, 1, n // 2, n - 1, n}):
            found = stats.binomtest(k, n).proportion_ci(method="exact")
            assert_same(clopper_pearson(k, n), found.low, found.high)


def test_the_exact_interval_of_a_fraction_holds_those_of_its_neighbours():
    assert clopper_pearson(2.5, 9) == Interval(clopper_pearson(2, 9).low, clopper_pearson(3, 9).high)
    assert clopper_pearson((0.1 + 0.2) * 10, 30) == clopper_pearson(3, 30)  # 3.0000000000000004
    for k, n in ((0, 0), (3, 2), (-1, 2)):
        with pytest.raises(ValueError):
            clopper_pearson(k, n)


def test_students_t_agrees_with_scipy():
    for degrees in (1, 2, 3, 4, 9, 24, 49, 78, 999, 10_000):
        assert t_quantile(degrees) == pytest.approx(stats.t.ppf(0.975, degrees), rel=1e-12)
    with pytest.raises(ValueError):
        t_quantile(0)


def test_the_interval_of_a_score_by_hand():
    """Twelve pictures of unequal size: the variance of the ratio, the effective size, and t instead of z."""
    sums, sizes = np.array([8, 0, 3, 5, 2, 1, 7, 4, 0, 6, 3, 2]), np.array([8, 4, 8, 8, 2, 8, 8, 5, 8, 8, 8, 3])
    p = sums.sum() / sizes.sum()
    variance = 12 / 11 * ((sums - p * sizes) ** 2).sum() / sizes.sum() ** 2
    n, z = p * (1 - p) / variance, stats.t.ppf(0.975, 11)
    ends = [p_0 for sign in (-1, 1) for p_0 in [(p + z**2 / (2 * n) + sign * z * math.sqrt(
        p * (1 - p) / n + z**2 / (4 * n**2))) / (1 + z**2 / n)]]  # fmt: skip
    assert_same(mean_interval(sums.tolist(), sizes.tolist()), *ends)


def test_tasks_that_agree_within_a_picture_count_once():
    """If the eight tasks of each picture share one outcome, the interval is that of the pictures alone."""
    outcomes = [1] * 13 + [0] * 12
    assert_same(
        mean_interval([8 * o for o in outcomes], [8] * 25),
        *(lambda i: (i.low, i.high))(mean_interval(outcomes, [1] * 25)),
    )
    z = stats.t.ppf(0.975, 24)
    alone = wilson(13 / 25 * 24, 24, z=z)  # V = p (1 - p) / 24: the spread is estimated with C - 1
    assert_same(mean_interval(outcomes, [1] * 25), alone.low, alone.high)


@pytest.mark.parametrize("pictures", [1, 9, 10, 200])
def test_no_interval_is_without_a_width_where_all_pictures_agree(pictures: int):
    """0 of n, n of n, and half of each: exact bounds that count a picture once."""
    tail = 0.025 ** (1 / pictures)
    assert_same(mean_interval([0] * pictures, [8] * pictures), 0, 1 - tail)
    assert_same(mean_interval([8] * pictures, [8] * pictures), tail, 1)
    half = mean_interval([4] * pictures, [8] * pictures)
    if pictures == 1:
        assert half == Interval(0, 1)
    assert mean_interval([0.3, 0.1 + 0.2] * pictures, [1, 1] * pictures).high > 0.301  # the same but for rounding
    found = stats.binomtest(pictures // 2, pictures).proportion_ci(method="exact")
    assert half.low == pytest.approx(found.low, rel=1e-12)


def test_few_pictures_get_the_exact_bound_however_many_tasks_they_have():
    found = stats.binomtest(4, 8).proportion_ci(method="exact")
    assert_same(mean_interval([80, 0, 80, 0, 80, 0, 80, 0], [80] * 8), found.low, found.high)


def test_differences_have_students_interval_by_picture():
    sums, sizes = [3, -1, 2, 0, 4, 1, 0, -2, 5, 1, 2, 0], [8] * 12
    means = np.array(sums) / 8
    half = stats.t.ppf(0.975, 11) * stats.sem(means)
    assert_same(difference_interval(sums, sizes), means.mean() - half, means.mean() + half)


def test_without_a_different_pair_the_difference_is_still_uncertain():
    bound = 1 - 0.025 ** (1 / 25)
    assert_same(difference_interval([0] * 25, [8] * 25), -bound, bound)
    assert difference_interval([0], [8]).high == pytest.approx(0.975)


def test_few_pictures_bound_what_is_won_and_what_is_lost_each_by_itself():
    won, lost = stats.binomtest(2, 5).proportion_ci(method="exact"), stats.binomtest(1, 5).proportion_ci(method="exact")
    found = difference_interval([8, -8, 8, 0, 0], [8] * 5)
    assert_same(found, won.low - lost.high, won.high - lost.low)
    assert (round(found.low, 4), round(found.high, 4)) == (-0.6637, 0.8483)


def test_the_interval_of_a_difference_turns_round_with_its_sign():
    for sums in ([8, -3, 2, 0, 0], [8] * 20 + [7], [3, -1, 2, 0, 4, 1, 0, -2, 5, 1, 2, 0]):
        found, turned = (difference_interval(s, [8] * len(sums)) for s in (sums, [-s for s in sums]))
        assert_same(turned, -found.high, -found.low)
        assert -1 <= turned.low <= turned.high <= 1


def test_the_interval_of_a_difference_holds_0_wherever_the_test_shows_none():
    for pictures in (5, 9, 10, 40):
        for won in range(min(pictures, 9) + 1):
            sums = [8] * won + [0] * (pictures - won)
            assert (difference_interval(sums, [8] * pictures).low > 0) <= (sign_flip(sums) < 0.05)


def test_a_certain_difference_stays_within_its_range():
    assert difference_interval([8] * 9, [8] * 9).high == 1
    assert difference_interval([8] * 20 + [7], [8] * 21).high <= 1


def test_what_is_no_score_by_picture_is_refused():
    for sums, sizes in (([], []), ([1], []), ([1], [0]), ([9], [8]), ([-1], [8])):
        with pytest.raises(ValueError):
            mean_interval(sums, sizes)
    with pytest.raises(ValueError):
        difference_interval([-9], [8])
    mean_interval([1 + 1e-12], [1])  # thirds need not add up exactly


def test_missing_verdicts_bound_a_score():
    assert missing_bounds(5, 8, 10) == Interval(0.5, 0.7)
    assert missing_bounds(0, 0, 4) == Interval(0, 1)
    assert missing_bounds(4, 4, 4) == Interval(1, 1)
    for counts in ((5, 4, 10), (1, 3, 2), (0, 0, 0)):
        with pytest.raises(ValueError):
            missing_bounds(*counts)


def test_missing_verdicts_are_taken_for_and_against():
    worst, best = missing_extremes([3, None, 2, None], [1, 1, None, None], full=3)
    assert worst == [2, -1, -1, -3]
    assert best == [2, 2, 2, 3]


@pytest.mark.parametrize("correlation", coverage.CORRELATIONS)
def test_intervals_by_picture_hold_the_truth_and_the_test_errs_rarely(correlation: float):
    """The small form of `python -m yardsticks.coverage`: 400 runs, so that a rate of 95 % is known to +-3.3 points."""
    found = coverage.measure(25, correlation, runs=400, seed=0)
    assert 0.917 < found.score < 0.983
    assert 0.917 < found.difference < 0.983
    assert found.error < 0.075


def test_sign_flip_counts_every_pattern():
    sums = [3, -1, 2, 0, 2, -4, 1, 5]
    total = abs(sum(sums))
    patterns = [abs(sum(s * x for s, x in zip(signs, sums, strict=True))) for signs in product((1, -1), repeat=8)]
    assert sign_flip(sums) == sum(t >= total for t in patterns) / 2**8


@pytest.mark.parametrize(("wins", "losses"), [(0, 0), (10, 25), (35, 20), (7, 0), (4, 4), (0, 900)])
def test_sign_flip_with_unit_sums_is_the_binomial_test(wins: int, losses: int):
    p = stats.binomtest(wins, wins + losses).pvalue if wins + losses else 1
    assert sign_flip([1] * wins + [-1] * losses) == pytest.approx(p, rel=1e-12)


def test_sign_flip_agrees_with_the_permutation_test_of_scipy():
    sums = np.random.default_rng(3).integers(-4, 5, 12)
    found = stats.permutation_test((sums,), np.sum, permutation_type="samples", n_resamples=10**5)
    assert sign_flip(sums.tolist()) == pytest.approx(found.pvalue, rel=1e-12)


def test_sign_flip_without_a_difference_is_1():
    assert sign_flip([]) == sign_flip([0, 0]) == sign_flip([3, -3]) == 1


def test_clustering_costs_power():
    """Five pictures whose two tasks were both won are five observations, not ten."""
    assert sign_flip([2] * 5) == 2 / 2**5
    assert sign_flip([1] * 10) == 2 / 2**10


def test_holm_by_hand():
    """m = 4: .01 x 4, .02 x 3, .03 x 2 = .06 (already .06), .5 x 1."""
    assert holm([0.02, 0.01, 0.5, 0.03]) == pytest.approx([0.06, 0.04, 0.5, 0.06])
    assert holm([0.04, 0.03]) == pytest.approx([0.06, 0.06])  # made monotone: .04 x 1 may not fall below .03 x 2
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_one_item_is_enough_for_bounds_and_lists_of_two_lengths_are_no_pairs() -> None:
    assert_same(missing_bounds(1, 1, 1), 1, 1)
    assert_same(missing_bounds(0, 0, 1), 0, 1)
    with pytest.raises(ValueError, match="2 successes of 1 valid of 1 expected items are no counts"):
        missing_bounds(2, 1, 1)
    with pytest.raises(ValueError, match=r"zip\(\)"):
        missing_extremes([1, 0], [1], full=1)


def test_the_interval_of_any_mean_is_students() -> None:
    values = np.random.default_rng(4).normal(21, 1, 30)
    found = unbounded_interval(values.tolist(), [1] * 30)
    low, high = stats.t.interval(0.95, 29, values.mean(), values.std(ddof=1) / np.sqrt(30))
    assert (found.low, found.high) == (pytest.approx(low, rel=1e-12), pytest.approx(high, rel=1e-12))
    assert unbounded_interval([3.0], [1]).high == float("inf")
    with pytest.raises(ValueError, match="at least one picture"):
        unbounded_interval([], [])


@pytest.mark.parametrize("degrees", [1, 2, 4, 7, 30])
def test_the_tail_of_students_t(degrees: int) -> None:
    for t in (0.0, 0.3, -1.7, 4.2, 60.0):
        assert t_two_sided(t, degrees) == pytest.approx(2 * stats.t.sf(abs(t), degrees), rel=1e-9, abs=1e-14)


@pytest.mark.parametrize("interval", [mean_interval, difference_interval, unbounded_interval])
@pytest.mark.parametrize(("sums", "sizes"), [([], []), ([0.5], [1, 1]), ([0.5, 0.5], [1]), ([0.0, 0.0], [1, 0])])
def test_an_interval_by_picture_needs_pictures_with_items(interval: Any, sums: list[float], sizes: list[int]) -> None:
    with pytest.raises(ValueError, match=r"^at least one picture is needed, and at least one item in each$"):
        interval(sums, sizes)


def test_two_pictures_have_an_interval_of_any_mean_and_one_has_none() -> None:
    found = unbounded_interval([20.0, 22.0], [1, 1])
    assert (found.low, found.high) == (pytest.approx(21 - t_quantile(1)), pytest.approx(21 + t_quantile(1)))
    assert unbounded_interval([3.0], [1]) == Interval(-math.inf, math.inf)


def test_thirds_that_add_up_to_a_little_more_are_whole_and_what_is_more_is_a_mistake() -> None:
    """Sums of three items: 2.5e-9 is within their slack, and more than that of one or of a third."""
    for beyond, whole in ((3 + 2.5e-9, 3.0), (-2.5e-9, 0.0)):
        assert mean_interval([beyond, 1.0], [3, 3]) == mean_interval([whole, 1.0], [3, 3])
    for least, wrong, interval in (
        (0, 3 + 3.5e-9, mean_interval),
        (0, -3.5e-9, mean_interval),
        (-1, -3 - 3.5e-9, difference_interval),
    ):
        told = rf"^the items of a picture score between {least} and 1 each, and their totals accordingly$"
        with pytest.raises(ValueError, match=told):
            interval([wrong, 1.0], [3, 3])
    assert difference_interval([-3 - 2.5e-9, 1.0], [3, 3]) == difference_interval([-3.0, 1.0], [3, 3])


def test_the_tail_of_students_t_needs_a_degree_of_freedom() -> None:
    with pytest.raises(ValueError, match=r"^Student's t needs at least one degree of freedom, not 0$"):
        t_two_sided(1.0, 0)
