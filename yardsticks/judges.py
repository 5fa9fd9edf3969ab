"""Judges that tell nothing, or not everything, and how often the report calls an arm better: `python -m yardsticks.judges`.

Three arms do equally well: each criterion is fulfilled in half of the videos, verdicts of one picture being correlated (a
third of the variance of a hidden number is the picture's). What a judge makes of that goes through the report's own
comparison and sentences. A sentence that calls the Executor better or worse is an error. The last line is for contrast: an
Executor that does better, and a judge that sees it.
"""

import argparse
import math
from collections.abc import Callable
from pathlib import Path
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from wmsd_core.bench.benchmark import ARMS, Arm, Item
from wmsd_core.bench.comparison import compare_arms
from wmsd_core.bench.report.headline import in_words
from wmsd_core.bench.scores import Outcome
from wmsd_core.bench.suites.worldtasks import worldtasks
from wmsd_core.frames import Frame

TASKS = 8
SHARED = 1 / 3
BENCHMARK = worldtasks()
CRITERIA = [criterion.name for criterion in BENCHMARK.criteria]

Truth = NDArray[np.bool_]
"""What each video shows, [arms, items, criteria]; items in the order in which they are judged."""
Verdicts = NDArray[np.float64]
"""1 and 0 for the two verdicts, NaN for none; [arms, items, criteria]."""
Judge = Callable[[Truth, np.random.Generator], Verdicts]


def _honest(truth: Truth, rng: np.random.Generator) -> Verdicts:
    return truth.astype(float)


def _random(truth: Truth, rng: np.random.Generator) -> Verdicts:
    return rng.integers(0, 2, truth.shape).astype(float)


def _always(value: float) -> Judge:
    return lambda truth, rng: np.full(truth.shape, value)


def _dead_half_way(truth: Truth, rng: np.random.Generator) -> Verdicts:
    verdicts = truth.astype(float)
    verdicts[:, truth.shape[1] // 2 :] = math.nan
    return verdicts


def _dead_half_way_through_an_arm(truth: Truth, rng: np.random.Generator) -> Verdicts:
    verdicts = truth.astype(float)
    verdicts[-1, truth.shape[1] // 2 :] = math.nan
    return verdicts


def _failures_missing(truth: Truth, rng: np.random.Generator) -> Verdicts:
    """Three of ten of the Executor's failures have no verdict: what is left flatters it."""
    verdicts = truth.astype(float)
    verdicts[-1][~truth[-1] & (rng.random(truth[-1].shape) < 0.3)] = math.nan
    return verdicts


JUDGES: dict[str, Judge] = {
    "honest": _honest,
    "random": _random,
    "always yes": _always(1),
    "always no": _always(0),
    "always invalid": _always(math.nan),
    "dead half way": _dead_half_way,
    "dead half way, the Executor only": _dead_half_way_through_an_arm,
    "30 % missing, of the Executor's failures only": _failures_missing,
}


def told_apart(judge: Judge, *, pictures: int, repetitions: int, seed: int, executor: float = 0.5) -> int:
    """In how many repetitions the report calls the Executor, whose rate of success is given, better or worse than an arm."""
    rngs = (np.random.default_rng([seed, index]) for index in range(repetitions))
    return sum(_told_apart(judge(_truth(pictures, executor, rng), rng)) for rng in rngs)


def _told_apart(verdicts: Verdicts) -> bool:
    by_arm = _outcomes(verdicts)
    sentences = [
        in_words(comparison)
        for comparison in compare_arms(by_arm, BENCHMARK.measures)
        if comparison.measure == "average" and comparison.arm == "executor"
    ]
    return any(sentence.startswith(("It is better", "It is worse")) for sentence in sentences)


def _truth(pictures: int, executor: float, rng: np.random.Generator) -> Truth:
    shape = (len(ARMS), pictures, TASKS, len(CRITERIA))
    limits = np.array([NormalDist().inv_cdf(executor if arm == "executor" else 0.5) for arm in ARMS])
    shared = math.sqrt(SHARED) * rng.normal(size=(1, pictures, 1, 1))
    hidden = shared + math.sqrt(1 - SHARED) * rng.normal(size=shape)
    return (hidden < limits[:, None, None, None]).reshape(len(ARMS), pictures * TASKS, len(CRITERIA))


def _outcomes(verdicts: Verdicts) -> dict[Arm, list[Outcome]]:
    none = dict.fromkeys(CRITERIA)

    def outcome(arm: Arm, number: int, found: NDArray[np.float64]) -> Outcome:
        frame = Frame(str(number // TASKS), Path(), "PNG", 1, 1)
        told = {name: None if math.isnan(value) else bool(value) for name, value in zip(CRITERIA, found, strict=True)}
        return Outcome(Item(str(number), frame, "a task"), arm, "", told, none)

    return {
        arm: [outcome(arm, number, found) for number, found in enumerate(of_arm)]
        for arm, of_arm in zip(ARMS, verdicts, strict=True)
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=50)
    parser.add_argument("--repetitions", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    print(f"{asked.pictures} pictures x {TASKS} tasks, {asked.repetitions} repetitions")
    for name, judge in JUDGES.items():
        wrong = told_apart(judge, pictures=asked.pictures, repetitions=asked.repetitions, seed=asked.seed)
        print(f"{name:48s} {wrong:4d}  {100 * wrong / asked.repetitions:5.1f} %")
    right = told_apart(
        JUDGES["honest"], pictures=asked.pictures, repetitions=asked.repetitions, seed=asked.seed, executor=0.6
    )
    print(f"{'honest, of an Executor that does better (.6)':48s} {right:4d}  {100 * right / asked.repetitions:5.1f} %")
