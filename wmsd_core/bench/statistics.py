"""Intervals and paired tests of scores whose items share pictures, in float64.

Several tasks share one picture, so that their outcomes are not independent: what is counted, and what is flipped, is the
picture. With eight tasks a picture, intervals and tests that count items err several times as often as they say.

Sources: Wilson, JASA 22 (1927), at the effective sample size n / design effect of Kish, Survey Sampling (1965); Clopper
and Pearson, Biometrika 26 (1934); Fisher's randomization test by sign flips; Holm, Scand. J. Statist. 6 (1979).
`python -m yardsticks.coverage` measures how often they err.

Scores are given by picture: `sums` [C] is the total of each picture's items, `sizes` [C] their number; an item scores
between 0 and 1 (a difference between -1 and 1), and the estimate is the ratio of both totals.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

Z95 = 1.959963984540054
"""The 97.5 % point of the normal distribution: two-sided 95 % intervals."""
FEWEST_PICTURES = 10
"""With fewer, their spread says too little about itself: the bound is exact instead."""
FEWEST_DIFFERENT = 6
"""With fewer pictures that differ, no sign-flip test can reach p < .05 (2 / 2^5 = .0625)."""
_TAIL = 0.025


@dataclass(frozen=True)
class Interval:
    """A 95 % confidence interval, or the range between two bounds."""

    low: float
    high: float


def mean_interval(sums: Sequence[float], sizes: Sequence[int]) -> Interval:
    """Of a score in [0, 1], by picture.

    Wilson's interval at the effective sample size p (1 - p) / V, with V the variance of the ratio between pictures and
    with Student's t at C - 1 degrees of freedom for z. With fewer than `FEWEST_PICTURES` pictures, or where all of them
    score the same, it is the exact bound that counts each picture once: never an interval without a width.

    Raises:
        ValueError: no picture, an empty one, or a total that its items cannot have.
    """
    totals, counts = _by_picture(sums, sizes, least=0)
    pictures, p = len(totals), _ratio(totals, counts)
    variance = _variance(totals, counts)
    if pictures < FEWEST_PICTURES or variance == 0:
        return clopper_pearson(p * pictures, pictures)
    n = p * (1 - p) / variance
    return wilson(p * n, n, z=t_quantile(pictures - 1))


def difference_interval(sums: Sequence[float], sizes: Sequence[int]) -> Interval:
    """Of a mean difference in [-1, 1], by picture: d -+ t sqrt(V), with V and t as in `mean_interval`.

    With fewer than `FEWEST_PICTURES` pictures, or fewer than `FEWEST_DIFFERENT` that differ, it is the range between the
    exact bounds of what is won and of what is lost, each picture counted once.

    Raises:
        ValueError: no picture, an empty one, or a total that its items cannot have.
    """
    totals, counts = _by_picture(sums, sizes, least=-1)
    pictures, d = len(totals), _ratio(totals, counts)
    if pictures < FEWEST_PICTURES or np.count_nonzero(totals) < FEWEST_DIFFERENT:
        won = clopper_pearson(_ratio(np.maximum(totals, 0), counts) * pictures, pictures)
        lost = clopper_pearson(_ratio(np.maximum(-totals, 0), counts) * pictures, pictures)
        return Interval(won.low - lost.high, won.high - lost.low)
    half = t_quantile(pictures - 1) * math.sqrt(_variance(totals, counts))
    return Interval(max(-1.0, d - half), min(1.0, d + half))


def unbounded_interval(sums: Sequence[float], sizes: Sequence[int]) -> Interval:
    """Of a mean of any numbers, by picture: m -+ t sqrt(V), with V and t as in `mean_interval`; unbounded for one.

    Raises:
        ValueError: no picture, or an empty one.
    """
    totals, counts = _totals(sums, sizes)
    if len(totals) < 2:
        return Interval(-math.inf, math.inf)
    mean, half = _ratio(totals, counts), t_quantile(len(totals) - 1) * math.sqrt(_variance(totals, counts))
    return Interval(mean - half, mean + half)


def missing_bounds(successes: float, valid: int, expected: int) -> Interval:
    """The scores that `expected` items have if each one without a verdict failed, and if each succeeded.

    Raises:
        ValueError: not 0 <= successes <= valid <= expected, or nothing expected.
    """
    if not 0 <= successes <= valid <= expected or expected < 1:
        raise ValueError(f"{successes} successes of {valid} valid of {expected} expected items are no counts")
    return Interval(successes / expected, (successes + expected - valid) / expected)


def missing_extremes(
    mine: Sequence[int | None], theirs: Sequence[int | None], *, full: int
) -> tuple[list[int], list[int]]:
    """Paired differences of points in 0 to `full`, what is missing taken against `mine`, and taken in its favour.

    An arm is better, whatever the missing verdicts would have been, if it is better by the first list.
    """
    pairs = list(zip(mine, theirs, strict=True))
    worst = [(0 if a is None else a) - (full if b is None else b) for a, b in pairs]
    best = [(full if a is None else a) - (0 if b is None else b) for a, b in pairs]
    return worst, best


def wilson(successes: float, n: float, *, z: float = Z95) -> Interval:
    """The score interval of a proportion: (p + z^2/2n -+ z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n).

    Both may be fractional: of an effective sample size, or of a mean of scores in [0, 1], whose variance is at most
    p(1-p), so that its interval is too wide rather than too narrow.

    Raises:
        ValueError: no observations, or a count outside [0, n].
    """
    if n <= 0 or not 0 <= successes <= n:
        raise ValueError(f"a proportion needs 0 <= successes <= n and n > 0, not {successes} of {n}")
    p = successes / n
    shrink = 1 + z**2 / n
    centre = (p + z**2 / (2 * n)) / shrink
    half = z * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2)) / shrink
    return Interval(max(0.0, centre - half), min(1.0, centre + half))


def clopper_pearson(successes: float, n: int) -> Interval:
    """The exact interval of a proportion: all p under which neither tail of the binomial is below 2.5 %.

    A fractional count is rounded down for the lower end and up for the upper one.

    Raises:
        ValueError: no observations, or a count outside [0, n].
    """
    if n < 1 or not 0 <= successes <= n * (1 + 1e-12):
        raise ValueError(f"a proportion needs 0 <= successes <= n and n > 0, not {successes} of {n}")
    whole = round(successes)
    if math.isclose(successes, whole, rel_tol=1e-12):  # 3 pictures of 10 may come as .1 * 30
        successes = whole
    low, high = math.floor(successes), math.ceil(successes)
    return Interval(_lower_end(low, n), 1 - _lower_end(n - high, n))


@cache
def t_quantile(degrees: int) -> float:
    """The 97.5 % point of Student's t with a whole number of degrees of freedom.

    Raises:
        ValueError: no degree of freedom.
    """
    if degrees < 1:
        raise ValueError(f"Student's t needs at least one degree of freedom, not {degrees}")
    angle = _root(lambda theta: _inner_mass(theta, degrees) - (1 - 2 * _TAIL), 0.0, math.pi / 2)
    return math.sqrt(degrees) * math.tan(angle)


def t_two_sided(t: float, degrees: int) -> float:
    """The probability that Student's t with so many degrees of freedom is as far from 0 as `t`.

    Raises:
        ValueError: no degree of freedom.
    """
    if degrees < 1:
        raise ValueError(f"Student's t needs at least one degree of freedom, not {degrees}")
    return max(0.0, 1 - _inner_mass(math.atan(abs(t) / math.sqrt(degrees)), degrees))


def sign_flip(sums: Sequence[int]) -> float:
    """Exact two-sided p of the sign-flip test that paired differences are symmetric about 0.

    `sums` holds one integer per cluster (picture): the summed differences of its tasks. Under the null hypothesis each
    has either sign with probability 1/2; p is the probability that the absolute total is at least the observed one. The
    distribution is built by convolution, cluster by cluster, so that all 2^n sign patterns are counted and none is
    drawn. With sums of +1 and -1 only, this is McNemar's test.
    """
    sizes = [abs(s) for s in sums if s]
    reach = sum(sizes)
    mass = np.zeros(2 * reach + 1)  # mass[reach + t] = P(total = t)
    mass[reach] = 1.0
    for size in sizes:  # the outermost `size` cells are still empty, so that a roll never wraps mass around
        mass = (np.roll(mass, size) + np.roll(mass, -size)) / 2
    totals = np.arange(-reach, reach + 1)
    return min(1.0, float(mass[np.abs(totals) >= abs(sum(sums))].sum()))


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p values in the given order: of m, the i-th smallest times (m - i + 1), made monotone, at most 1."""
    adjusted = [0.0] * len(p_values)
    running = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = running
    return adjusted


def _totals(sums: Sequence[float], sizes: Sequence[int]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    totals, counts = np.asarray(sums, dtype=np.float64), np.asarray(sizes, dtype=np.float64)
    if len(totals) == 0 or len(totals) != len(counts) or counts.min() < 1:
        raise ValueError("at least one picture is needed, and at least one item in each")
    return totals, counts


def _by_picture(
    sums: Sequence[float], sizes: Sequence[int], *, least: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    totals, counts = _totals(sums, sizes)
    slack = 1e-9 * counts  # thirds do not add up to whole numbers
    if (totals > counts + slack).any() or (totals < least * counts - slack).any():
        raise ValueError(f"the items of a picture score between {least} and 1 each, and their totals accordingly")
    return np.clip(totals, least * counts, counts), counts


def _ratio(totals: NDArray[np.float64], counts: NDArray[np.float64]) -> float:
    return float(totals.sum() / counts.sum())


def _variance(totals: NDArray[np.float64], counts: NDArray[np.float64]) -> float:
    """Of the ratio of totals, between pictures: C / (C - 1) sum_c (s_c - p n_c)^2 / n^2; 0 for equal pictures."""
    pictures = len(totals)
    means = totals / counts
    if pictures < 2 or np.ptp(means) < 1e-12:
        return 0.0
    residual = totals - _ratio(totals, counts) * counts
    return float(pictures / (pictures - 1) * np.square(residual).sum() / counts.sum() ** 2)


def _lower_end(successes: int, n: int) -> float:
    """The p under which `successes` or more of n have a probability of 2.5 %; 0 for no success."""
    if successes == 0:
        return 0.0
    ways = [math.log(math.comb(n, i)) for i in range(successes, n + 1)]

    def beyond(p: float) -> float:
        if p in (0.0, 1.0):
            return p
        one, none = math.log(p), math.log1p(-p)
        return math.fsum(math.exp(w + i * one + (n - i) * none) for i, w in enumerate(ways, start=successes))

    return _root(lambda p: beyond(p) - _TAIL, 0.0, 1.0)


def _inner_mass(theta: float, degrees: int) -> float:
    """P(|t| < sqrt(degrees) tan theta): the finite series in cos(theta) of Abramowitz and Stegun, 26.7.3 and 26.7.4."""
    odd = degrees % 2
    k = np.arange(1, (degrees - odd) // 2, dtype=np.float64)
    # ratios of successive terms: (2k - 1) / 2k cos^2 for even degrees, 2k / (2k + 1) cos^2 for odd ones
    terms = np.cumprod((2 * k - 1 + odd) / (2 * k + odd) * math.cos(theta) ** 2)
    series = 1 + math.fsum(terms)
    if not odd:
        return math.sin(theta) * series
    beyond_one = math.sin(theta) * math.cos(theta) * series if degrees > 1 else 0.0
    return 2 / math.pi * (theta + beyond_one)


def _root(rising: Callable[[float], float], low: float, high: float) -> float:
    """Where an increasing function crosses 0, by halving until two neighbouring numbers are left."""
    while low < (middle := (low + high) / 2) < high:
        if rising(middle) < 0:
            low = middle
        else:
            high = middle
    return high
