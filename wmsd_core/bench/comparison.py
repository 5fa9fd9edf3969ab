"""Arms against each other on the same items.

A pair counts where both arms have a valid verdict; how many were dropped is stated. Every measure is compared by the
exact sign-flip test of the summed differences of each picture, which several tasks may share, and its interval is one by
picture too. Holm's correction covers all tests that are reported together.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from wmsd_core.bench import statistics
from wmsd_core.bench.benchmark import Arm
from wmsd_core.bench.scores import Outcome


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
    adjusted = statistics.holm([comparison.p for comparison in found])
    return [replace(comparison, p_holm=p) for comparison, p in zip(found, adjusted, strict=True)]


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
    )
