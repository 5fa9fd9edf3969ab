"""How often the intervals hold the truth, and how often the test errs: `python -m yardsticks.coverage`.

Verdicts of one picture are correlated: each is a normal number, of which a share `correlation` of the variance is the
picture's, beyond a threshold. Two arms without a difference see the same pictures, each with a picture effect of its
own besides: half of the shared variance is common to both.
"""

import argparse
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from wmsd_core.bench.statistics import difference_interval, mean_interval, sign_flip

TASKS = 8
CORRELATIONS = (0.0, 0.2, 0.5)


@dataclass(frozen=True)
class Rates:
    """Shares of the runs."""

    score: float
    """Whose interval of a score holds the true rate."""
    difference: float
    """Whose interval of the difference of two equal arms holds 0."""
    error: float
    """Where the sign-flip test calls two equal arms different (p < .05)."""


def measure(pictures: int, correlation: float, *, rate: float = 0.5, runs: int, seed: int) -> Rates:
    """The rates over `runs` evaluations of `pictures` pictures with `TASKS` tasks each, of success rate `rate`."""
    rng = np.random.default_rng([seed, pictures, round(100 * correlation), round(100 * rate)])
    mine, theirs = _arms(rng, pictures, correlation, rate, runs)
    sizes = [TASKS] * pictures
    scores = [mean_interval(sums.tolist(), sizes) for sums in mine]
    differences = [difference_interval(sums.tolist(), sizes) for sums in mine - theirs]
    return Rates(
        score=sum(i.low <= rate <= i.high for i in scores) / runs,
        difference=sum(i.low <= 0 <= i.high for i in differences) / runs,
        error=sum(sign_flip(sums.tolist()) < 0.05 for sums in mine - theirs) / runs,
    )


def _arms(
    rng: np.random.Generator, pictures: int, correlation: float, rate: float, runs: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Successes [runs, pictures] of two arms."""
    shared = np.sqrt(correlation / 2) * rng.normal(size=(runs, pictures, 1))

    def arm() -> NDArray[np.int64]:
        own = np.sqrt(correlation / 2) * rng.normal(size=(runs, pictures, 1))
        rest = np.sqrt(1 - correlation) * rng.normal(size=(runs, pictures, TASKS))
        return (shared + own + rest < NormalDist().inv_cdf(rate)).sum(2)

    return arm(), arm()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--rates", type=float, nargs="+", default=[0.5, 0.8])
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    print("pictures x tasks  rate  correlation  score holds  difference holds  test errs")
    for pictures in (25, 50):
        for rate in asked.rates:
            for correlation in CORRELATIONS:
                found = measure(pictures, correlation, rate=rate, runs=asked.runs, seed=asked.seed)
                print(
                    f"{pictures:8d} x {TASKS}       {rate:4.2f}  {correlation:11.1f}  {found.score:11.3f}"
                    f"  {found.difference:16.3f}  {found.error:9.3f}"
                )
