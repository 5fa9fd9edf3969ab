"""Arms against each other on the same items.

A pair counts where both arms have a valid verdict; how many were dropped is stated. Every measure is compared by the
exact sign-flip test of the summed differences of each picture, which several tasks may share, and its interval is one by
picture too. Holm's correction covers all tests that are reported together.

Missing verdicts can flatter an arm. Where fewer than `ENOUGH_VALID` of the pairs are valid, a difference is beyond chance only
if it is so, and has its sign, with every missing verdict taken against it.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from wmsd_core.bench import statistics
from wmsd_core.bench.benchmark import Arm
from wmsd_core.bench.scores import Outcome

ENOUGH_VALID = 0.95
"""Share of pairs with valid verdicts below which a difference must stand against all that is missing."""
LEVEL = 0.05
"""Of p below which a difference is called one."""


@dataclass(frozen=True)
class Comparison:
    """`arm` minus `against` on one measure."""

    arm: str
    against: str
    measure: str
    pairs: int
    """Items on which both arms have a valid verdict."""
    dropped: int
    pictures: int
    """Distinct pictures among the pairs."""
    wins: int
    losses: int
    """Items on which `arm` has more points than `against`, and fewer."""
    difference: float
    """Mean difference of scores, in [-1, 1]."""
    low: float
    high: float
    """95 % interval of the difference by picture (`statistics.difference_interval`)."""
    p: float
    """Exact, two-sided: the sign-flip test by picture."""
    p_holm: float
    """`p` after Holm's correction over all comparisons of the call."""
    worst: float = 1.0
    """p with every missing verdict taken against the difference, corrected like `p_holm`; 1 where it loses its sign."""

    @property
    def valid(self) -> float:
        """The share of items with a valid verdict on both sides."""
        return self.pairs / (self.pairs + self.dropped)

    @property
    def undone(self) -> bool:
        """Whether missing verdicts could undo a difference that is beyond chance on the valid ones."""
        return self.p_holm < LEVEL and self.valid < ENOUGH_VALID and self.worst >= LEVEL

    @property
    def shown(self) -> bool:
        """Whether one side may be called better."""
        return self.p_holm < LEVEL and not self.undone


def compare_arms(by_arm: dict[Arm, list[Outcome]], measures: Sequence[str]) -> list[Comparison]:
    """Every later arm against every earlier one (in the order of `ARMS`), on every measure.

    Measures without a common valid item are left out.
    """
    found = [
        comparison
        for against, arm in combinations(by_arm, 2)
        for measure in measures
        if (comparison := compare(by_arm[arm], by_arm[against], measure))
    ]
    return corrected(found)


def corrected(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """With Holm's correction over all of them."""
    adjusted = statistics.holm([comparison.p for comparison in comparisons])
    worst = statistics.holm([comparison.worst for comparison in comparisons])
    return [replace(c, p_holm=p, worst=w) for c, p, w in zip(comparisons, adjusted, worst, strict=True)]


def compare(arm: list[Outcome], against: list[Outcome], measure: str) -> Comparison | None:
    """One comparison, its p uncorrected (`p_holm` equals `p`); None without a common valid item.

    Both lists hold the same items in the same order.
    """
    by_picture: defaultdict[str, list[int]] = defaultdict(list)
    for one, other in zip(arm, against, strict=True):
        mine, theirs = one.points(measure), other.points(measure)
        if mine is not None and theirs is not None:
            by_picture[one.item.frame.frame_id].append(mine - theirs)
    differences = [difference for group in by_picture.values() for difference in group]
    if not differences:
        return None
    sums = [sum(group) for group in by_picture.values()]
    wins, losses = sum(d > 0 for d in differences), sum(d < 0 for d in differences)
    unit = arm[0].full_points(measure)
    interval = statistics.difference_interval(
        [total / unit for total in sums], [len(group) for group in by_picture.values()]
    )
    p = statistics.sign_flip(sums)
    return Comparison(
        arm=arm[0].arm,
        against=against[0].arm,
        measure=measure,
        pairs=len(differences),
        dropped=len(arm) - len(differences),
        pictures=len(by_picture),
        wins=wins,
        losses=losses,
        difference=sum(differences) / unit / len(differences),
        low=interval.low,
        high=interval.high,
        p=p,
        p_holm=p,
        worst=_worst(arm, against, measure, 1 if sum(sums) > 0 else -1),
    )


def _worst(arm: Sequence[Outcome], against: Sequence[Outcome], measure: str, sign: int) -> float:
    """p of a difference of this sign with every missing verdict taken against it; 1 if nothing is left of it."""
    worst, best = statistics.missing_extremes(
        [outcome.points(measure) for outcome in arm],
        [outcome.points(measure) for outcome in against],
        full=arm[0].full_points(measure),
    )
    sums: defaultdict[str, int] = defaultdict(int)
    for outcome, difference in zip(arm, worst if sign > 0 else best, strict=True):
        sums[outcome.item.frame.frame_id] += sign * difference
    return statistics.sign_flip(list(sums.values())) if sum(sums.values()) > 0 else 1.0
