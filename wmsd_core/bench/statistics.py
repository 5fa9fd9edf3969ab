"""Intervals and paired tests for success rates, float64, no distributional assumption where an exact test exists.

Sources: Wilson, JASA 22 (1927); McNemar, Psychometrika 12 (1947), in its exact binomial form; Fisher's randomization
test by sign flips; Holm, Scand. J. Statist. 6 (1979); the cluster bootstrap of Field and Welsh, JRSS B 69 (2007).

Several tasks share one picture, so that their outcomes are not independent: what is flipped and resampled is the
picture.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Z95 = 1.959963984540054
"""The 97.5 % point of the normal distribution: two-sided 95 % intervals."""
RESAMPLES = 10_000


@dataclass(frozen=True)
class Interval:
    """A 95 % confidence interval."""

    low: float
    high: float


def wilson(successes: float, n: int) -> Interval:
    """The score interval of a proportion: (p + z^2/2n -+ z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n).

    `successes` may be fractional: a mean of scores in [0, 1] has variance at most p(1-p), so its interval is too wide
    rather than too narrow.

    Raises:
        ValueError: no observations, or a count outside [0, n].
    """
    if n <= 0 or not 0 <= successes <= n:
        raise ValueError(f"a proportion needs 0 <= successes <= n and n > 0, not {successes} of {n}")
    p = successes / n
    shrink = 1 + Z95**2 / n
    centre = (p + Z95**2 / (2 * n)) / shrink
    half = Z95 * math.sqrt(p * (1 - p) / n + Z95**2 / (4 * n**2)) / shrink
    return Interval(max(0.0, centre - half), min(1.0, centre + half))


def mcnemar(b: int, c: int) -> float:
    """Exact two-sided p of b against c discordant pairs: min(1, 2 sum_{i <= min(b, c)} C(b + c, i) / 2^(b + c))."""
    n = b + c
    tail = sum(math.comb(n, i) for i in range(min(b, c) + 1))
    return min(1.0, 2 * tail / 2**n)  # integers until the last division: no underflow for any n


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


def cluster_bootstrap(sums: NDArray[np.float64], sizes: NDArray[np.int64], *, seed: int) -> Interval:
    """Percentile interval of the mean over items, whole clusters drawn with replacement.

    `sums` [C] is the total of each cluster's items, `sizes` [C] their number; a resample's mean is the ratio of both
    totals.

    Raises:
        ValueError: no cluster, or an empty one.
    """
    if len(sums) == 0 or len(sums) != len(sizes) or sizes.min() < 1:
        raise ValueError("the bootstrap needs at least one cluster, and at least one item in each")
    draws = np.random.default_rng(seed)
    uniform = np.full(len(sums), 1 / len(sums))
    means = np.empty(RESAMPLES)
    for start in range(0, RESAMPLES, 500):  # blocks keep the counts at a few MB
        counts = draws.multinomial(len(sums), uniform, size=500).astype(np.float64)  # floats multiply much faster
        means[start : start + 500] = (counts @ sums) / (counts @ sizes.astype(np.float64))
    low, high = np.quantile(means, (0.025, 0.975))
    return Interval(float(low), float(high))


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p values in the given order: of m, the i-th smallest times (m - i + 1), made monotone, at most 1."""
    adjusted = [0.0] * len(p_values)
    running = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = running
    return adjusted
