"""Scores by category, for example of task and of agent (paper section 4.5, figure 7).

The paper shows categories above 5 % of the benchmark. Smaller ones are pooled here into "other", not dropped.
"""

from collections import Counter
from dataclasses import dataclass

import duckdb

from wmsd_core.bench.benchmark import Arm, Benchmark, Grouping
from wmsd_core.bench.scores import Outcome, Score, score

LEAST_SHARE = 0.05
OTHER = "other"


@dataclass(frozen=True)
class Category:
    """One category with a score per arm."""

    name: str
    items: int
    scores: list[Score]


@dataclass(frozen=True)
class Breakdown:
    """One measure by one kind of category, largest category first."""

    title: str
    labeller: str
    unlabelled: int
    categories: list[Category]


def breakdowns(
    con: duckdb.DuckDBPyConnection, benchmark: Benchmark, by_arm: dict[Arm, list[Outcome]]
) -> list[Breakdown]:
    """Scores by category, for each kind of category that the benchmark has; none where no item has a label."""
    items = [outcome.item for outcome in next(iter(by_arm.values()))]
    return [
        Breakdown(
            title=grouping.title,
            labeller=grouping.labeller,
            unlabelled=sum(item.item_id not in grouping.labels for item in items),
            categories=_categories(by_arm, grouping),
        )
        for grouping in benchmark.groupings(con, items)
    ]


def _categories(by_arm: dict[Arm, list[Outcome]], grouping: Grouping) -> list[Category]:
    sizes = Counter(grouping.labels.values())
    large = [name for name, size in sizes.most_common() if size >= LEAST_SHARE * sizes.total() and name != OTHER]
    members = {name: {item for item, given in grouping.labels.items() if given == name} for name in large}
    members[OTHER] = {item for item, given in grouping.labels.items() if given not in large}
    return [
        Category(
            name,
            len(items),
            [
                score(arm, grouping.measure, [o for o in found if o.item.item_id in items])
                for arm, found in by_arm.items()
            ],
        )
        for name, items in members.items()
        if items
    ]
