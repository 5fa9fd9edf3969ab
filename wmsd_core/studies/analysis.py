"""From verdicts to curves, final scores, and differences that are tested over seeds and pictures.

Two things were drawn at random, pictures and training seeds, and each run sees all pictures: the two are crossed. The variance
of a mean difference is therefore that between pictures plus that between seeds, minus their interaction, counted in both
(two-way analysis of variance with random effects; Searle, Casella and McCulloch, Variance Components, 1992);
never less than the larger of the two. Its t has as many degrees of freedom as the scarcer of both has draws, less one. With two
seeds that is one, and next to nothing can be told: which is so.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from wmsd_core.bench import statistics
from wmsd_core.bench.comparison import Comparison, compare
from wmsd_core.bench.scores import Outcome, Score, score
from wmsd_core.studies import published
from wmsd_core.studies.results import Results
from wmsd_core.studies.study import Board, Study

MEASURES = ("average", "task", "agent", "consistency")
"""What is shown, the deciding one first."""


@dataclass(frozen=True)
class Point:
    """A step of a curve."""

    step: int
    mean: float
    least: float
    most: float
    """Of the seeds."""
    seeds: int


@dataclass(frozen=True)
class Final:
    """The last step of an arm on one measure."""

    arm: str
    measure: str
    pooled: Score
    """Over all seeds, with the interval by picture: for these seeds, other pictures."""
    by_seed: Mapping[int | None, float]


@dataclass(frozen=True)
class Contrast:
    """An arm minus another, seed by seed on the same items from the same noise."""

    arm: str
    against: str
    measure: str
    difference: float
    low: float | None
    high: float | None
    """95 % interval over seeds and pictures; None with one seed."""
    p: float | None
    """Two-sided, over seeds and pictures."""
    p_holm: float | None
    """After Holm's correction over the arms that are compared with the same one on this measure."""
    within: Mapping[int | None, Comparison]
    """Seed -> the comparison of its two runs alone, tested by exact sign flips of pictures."""


@dataclass(frozen=True)
class Order:
    """Two arms that the paper has in one figure: what it says, and what came."""

    arm: str
    against: str
    measure: str
    figure: str
    published: float
    found: Contrast

    @property
    def verdict(self) -> str:
        """In a word."""
        if self.found.low is None or self.found.high is None or self.found.low <= 0 <= self.found.high:
            return "open"
        return "as published" if (self.found.difference > 0) == (self.published > 0) else "the other way"


def curve(results: Results, arm: str, measure: str, board: Board = "selection") -> list[Point]:
    """The scores of an arm by step."""
    found: list[Point] = []
    for step in results.steps(arm, board):
        scores = list(_scores(results.seeds(arm, board, step), measure).values())
        if scores:
            found.append(Point(step, math.fsum(scores) / len(scores), min(scores), max(scores), len(scores)))
    return found


def last(results: Results, arm: str, board: Board) -> Mapping[int | None, list[Outcome]]:
    """Seed -> outcomes of an arm's last step; {} where it was not measured."""
    steps = results.steps(arm, board)
    return results.seeds(arm, board, steps[-1]) if steps else {}


def finals(study: Study, results: Results) -> list[Final]:
    """Every measured arm on every measure, in the study's order."""
    found: list[Final] = []
    for arm in study.arms:
        by_seed = last(results, arm, study.half)
        pooled = [outcome for outcomes in by_seed.values() for outcome in outcomes]
        found += [
            Final(arm, measure, score(arm, measure, pooled), _scores(by_seed, measure))
            for measure in MEASURES
            if pooled
        ]
    return found


def contrasts(study: Study, results: Results) -> list[Contrast]:
    """Every arm minus the study's baseline."""
    found: list[Contrast] = []
    for measure in MEASURES:
        family = [
            one
            for arm in study.arms
            if arm != study.baseline and (one := contrast(results, arm, study.baseline, measure, study.half))
        ]
        tested = [one for one in family if one.p is not None]
        adjusted = dict(
            zip((one.arm for one in tested), statistics.holm([one.p or 0.0 for one in tested]), strict=True)
        )
        found += [replace(one, p_holm=adjusted.get(one.arm)) for one in family]
    return found


def contrast(results: Results, arm: str, against: str, measure: str, board: Board) -> Contrast | None:
    """One arm minus another, over the seeds that both have; an arm without seeds stands for each. None without a pair."""
    mine, theirs = last(results, arm, board), last(results, against, board)
    pairs = {seed: (a, b) for seed, a, b in _paired(mine, theirs)}
    within = {seed: found for seed, (a, b) in pairs.items() if (found := compare(a, b, measure))}
    if not within:
        return None
    sums, sizes = _table([pairs[seed] for seed in within], measure)
    difference = float(sums.sum() / sizes.sum())
    low = high = p = None
    if min(sums.shape) > 1 and (variance := crossed_variance(sums, sizes)) > 0:
        degrees = min(sums.shape) - 1
        half = statistics.t_quantile(degrees) * math.sqrt(variance)
        low, high = max(-1.0, difference - half), min(1.0, difference + half)
        p = statistics.t_two_sided(difference / math.sqrt(variance), degrees)
    return Contrast(arm, against, measure, difference, low, high, p, None, within)


def crossed_variance(sums: NDArray[np.float64], sizes: NDArray[np.float64]) -> float:
    """The variance of the ratio of totals, seeds in rows [S, C] and pictures in columns, both drawn at random.

    With residuals r = sums - ratio sizes, whose totals by row r_s and by column r_c are taken out of what is left, e:

        V = S/(S-1) sum r_s^2 / n^2 + C/(C-1) sum r_c^2 / n^2 - SC/((S-1)(C-1)) sum e^2 / n^2
    """
    residual = sums - sums.sum() / sizes.sum() * sizes
    left = residual - residual.mean(0, keepdims=True) - residual.mean(1, keepdims=True)  # their own mean is 0
    s, c = residual.shape
    rows = s / (s - 1) * float(np.square(residual.sum(1)).sum())
    columns = c / (c - 1) * float(np.square(residual.sum(0)).sum())
    both = s * c / ((s - 1) * (c - 1)) * float(np.square(left).sum())
    return max(rows + columns - both, rows, columns) / float(sizes.sum()) ** 2


def orders(study: Study, results: Results) -> list[Order]:
    """Every two arms that have a curve in the same figure of the paper, on each measure that it shows."""
    found: list[Order] = []
    named = [(arm, *name.split("/")) for arm, each in study.arms.items() for name in each.published]
    for (one, figure, curve_of_one), (other, its_figure, curve_of_other) in combinations(named, 2):
        if one == other or figure != its_figure:
            continue
        mine, theirs = published.curves(f"{figure}/{curve_of_one}"), published.curves(f"{figure}/{curve_of_other}")
        for measure in MEASURES:
            if measure in mine and measure in theirs and (seen := contrast(results, one, other, measure, study.half)):
                found.append(Order(one, other, measure, figure, mine[measure][-1][1] - theirs[measure][-1][1], seen))
    return found


def _scores(by_seed: Mapping[int | None, list[Outcome]], measure: str) -> dict[int | None, float]:
    scored = {seed: score("", measure, outcomes).score for seed, outcomes in by_seed.items()}
    return {seed: value for seed, value in scored.items() if value is not None}


def _paired(
    mine: Mapping[int | None, list[Outcome]], theirs: Mapping[int | None, list[Outcome]]
) -> Iterable[tuple[int | None, list[Outcome], list[Outcome]]]:
    """By seed; what is frozen stands beside every seed of the other."""
    for seed in mine if None not in mine else theirs:
        a, b = mine.get(seed) or mine.get(None), theirs.get(seed) or theirs.get(None)
        if a and b:
            yield seed, a, b


def _table(
    pairs: Sequence[tuple[list[Outcome], list[Outcome]]], measure: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Summed differences, and numbers of valid pairs, by seed and picture [S, C]."""
    pictures = {
        picture: place for place, picture in enumerate(dict.fromkeys(one.item.frame.frame_id for one in pairs[0][0]))
    }
    sums, sizes = np.zeros((len(pairs), len(pictures))), np.zeros((len(pairs), len(pictures)))
    for row, (mine, theirs) in enumerate(pairs):
        counted: defaultdict[int, list[float]] = defaultdict(list)
        for a, b in zip(mine, theirs, strict=True):
            x, y = a.points(measure), b.points(measure)
            if x is not None and y is not None:
                counted[pictures[a.item.frame.frame_id]].append((x - y) / a.full_points(measure))
        for column, differences in counted.items():
            sums[row, column], sizes[row, column] = math.fsum(differences), len(differences)
    return sums, sizes
