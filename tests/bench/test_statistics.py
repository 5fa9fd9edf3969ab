import math
from itertools import product

import numpy as np
import pytest

from wmsd_core.bench.statistics import cluster_bootstrap, holm, mcnemar, sign_flip, wilson


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


def test_mcnemar_by_hand_and_as_published():
    assert mcnemar(0, 0) == 1
    assert mcnemar(4, 4) == 1
    assert mcnemar(0, 5) == 2 / 32
    assert mcnemar(1, 7) == mcnemar(7, 1) == 2 * (1 + 8) / 256
    assert round(mcnemar(10, 25), 3) == 0.017
    assert round(mcnemar(15, 30), 3) == 0.036
    assert round(mcnemar(20, 35), 3) == 0.058
    assert 0 < mcnemar(0, 900) < 1e-200


def test_sign_flip_counts_every_pattern():
    sums = [3, -1, 2, 0, 2, -4, 1, 5]
    total = abs(sum(sums))
    patterns = [abs(sum(s * x for s, x in zip(signs, sums, strict=True))) for signs in product((1, -1), repeat=8)]
    assert sign_flip(sums) == sum(t >= total for t in patterns) / 2**8


def test_sign_flip_with_unit_sums_is_mcnemar():
    for wins, losses in ((10, 25), (35, 20), (7, 0), (4, 4)):
        assert math.isclose(sign_flip([1] * wins + [-1] * losses), mcnemar(wins, losses), rel_tol=1e-12)


def test_sign_flip_without_a_difference_is_1():
    assert sign_flip([]) == sign_flip([0, 0]) == sign_flip([3, -3]) == 1


def test_clustering_costs_power():
    """Five pictures whose two tasks were both won are five observations, not ten."""
    assert sign_flip([2] * 5) == 2 / 2**5
    assert sign_flip([1] * 10) == 2 / 2**10


def test_bootstrap_of_a_constant_is_a_point():
    interval = cluster_bootstrap(np.full(9, 0.5), np.ones(9, dtype=np.int64), seed=1)
    assert interval.low == interval.high == 0.5


def test_bootstrap_has_the_width_of_the_central_limit():
    rng = np.random.default_rng(0)
    values = rng.normal(0.3, 1, 400)
    interval = cluster_bootstrap(values, np.ones(400, dtype=np.int64), seed=1)
    half = 1.96 * values.std() / math.sqrt(400)
    assert interval.low == pytest.approx(values.mean() - half, abs=0.01)
    assert interval.high == pytest.approx(values.mean() + half, abs=0.01)


def test_bootstrap_resamples_clusters_and_not_items():
    """Clusters of 4 equal items: the interval is that of a fourth of the observations."""
    rng = np.random.default_rng(0)
    values = rng.integers(0, 2, 100).astype(float)
    single = cluster_bootstrap(values, np.ones(100, dtype=np.int64), seed=1)
    fourfold = cluster_bootstrap(4 * values, np.full(100, 4), seed=1)
    assert fourfold == single


def test_bootstrap_weighs_clusters_by_their_items():
    """Whatever is drawn, clusters whose items all score .5 have a mean of .5."""
    sizes = np.array([1, 2, 7, 30])
    interval = cluster_bootstrap(0.5 * sizes, sizes, seed=1)
    assert interval.low == interval.high == 0.5


def test_bootstrap_refuses_nothing():
    with pytest.raises(ValueError):
        cluster_bootstrap(np.empty(0), np.empty(0, dtype=np.int64), seed=1)


def test_holm_by_hand():
    """m = 4: .01 x 4, .02 x 3, .03 x 2 = .06 (already .06), .5 x 1."""
    assert holm([0.02, 0.01, 0.5, 0.03]) == pytest.approx([0.06, 0.04, 0.5, 0.06])
    assert holm([0.04, 0.03]) == pytest.approx([0.06, 0.06])  # made monotone: .04 x 1 may not fall below .03 x 2
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []
