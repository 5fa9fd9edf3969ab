"""Scores by kind of task and kind of agent (paper section 4.5, figure 7).

The paper shows categories above 5 % of the benchmark. Smaller ones are pooled here into "other", not dropped.
"""

from collections import Counter
from dataclasses import dataclass

import duckdb

from wmsd_core import store
from wmsd_core.bench.scores import Outcome, Score, score
from wmsd_core.bench.worldtasks import Arm
from wmsd_core.worldtasks.taxonomy import agent_noun

LEAST_SHARE = 0.05
OTHER = "other"


@dataclass(frozen=True)
class Category:
    """One category of one taxonomy with a score per arm."""

    name: str
    items: int
    scores: list[Score]


@dataclass(frozen=True)
class Breakdown:
    """Task Score by task type, and Agent Score by agent type, largest category first."""

    labeller: str
    unlabelled: int
    by_task: list[Category]
    by_agent: list[Category]


def breakdown(con: duckdb.DuckDBPyConnection, by_arm: dict[Arm, list[Outcome]]) -> Breakdown | None:
    """Scores by category, with the labeller who knows most of the items; None where no item has a label."""
    drawn = [outcome.item.pair_id for outcome in next(iter(by_arm.values()))]
    rows = store.query(
        con,
        """
        SELECT pair_id, labeller, agent_type, task_type, agent FROM taxonomy JOIN task_pairs USING (pair_id)
        WHERE list_contains(?, pair_id)
        """,
        [drawn],
    )
    if not rows:
        return None
    # The name breaks ties, so that the choice does not depend on the order of rows.
    labeller = max(Counter(row["labeller"] for row in rows).items(), key=lambda known: (known[1], known[0]))[0]
    labels = {row["pair_id"]: row for row in rows if row["labeller"] == labeller}
    return Breakdown(
        labeller=labeller,
        unlabelled=len(drawn) - len(labels),
        by_task=_categories(by_arm, {pair: row["task_type"] for pair, row in labels.items()}, "task"),
        by_agent=_categories(by_arm, {pair: _agent(row) for pair, row in labels.items()}, "agent"),
    )


def _agent(row: dict[str, str]) -> str:
    """The agent type; of objects, which have little in common, the kind of thing too: "object: circle"."""
    noun = agent_noun(row["agent"])
    return f"object: {noun}" if row["agent_type"] == "object" and noun else row["agent_type"]


def _categories(by_arm: dict[Arm, list[Outcome]], label: dict[str, str], measure: str) -> list[Category]:
    sizes = Counter(label.values())
    large = [name for name, size in sizes.most_common() if size >= LEAST_SHARE * len(label) and name != OTHER]
    members = {name: {pair for pair, given in label.items() if given == name} for name in large}
    members[OTHER] = {pair for pair, given in label.items() if given not in large}
    return [
        Category(
            name,
            len(pairs),
            [score(arm, measure, [o for o in found if o.item.pair_id in pairs]) for arm, found in by_arm.items()],
        )
        for name, pairs in members.items()
        if pairs
    ]
