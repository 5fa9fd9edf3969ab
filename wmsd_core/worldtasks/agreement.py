"""How far two labellers agree beyond chance."""

import math
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import duckdb


@dataclass(frozen=True)
class Agreement:
    """Two labellers on the pairs that both labelled. Kappa is NaN where chance alone would have them agree."""

    one: str
    other: str
    kind: str
    """What was labelled: agent_type or task_type."""
    pairs: int
    same: float
    """Share of the pairs that got the same label from both."""
    kappa: float


def cohen_kappa(one: Sequence[Hashable], other: Sequence[Hashable]) -> float:
    """(p_o - p_e) / (1 - p_e), with p_o the observed agreement and p_e = sum_k p_one(k) p_other(k) that of chance.

    Cohen, "A coefficient of agreement for nominal scales" (1960). NaN where there is nothing, or where p_e = 1: both gave
    one and the same label to everything, and any agreement is chance.

    Raises:
        ValueError: sequences of different length.
    """
    n = len(one)
    same = sum(a == b for a, b in zip(one, other, strict=True))
    first, second = Counter(one), Counter(other)
    chance = sum(count * second[label] for label, count in first.items())  # times n^2: exact integers
    if n == 0 or chance == n * n:
        return math.nan
    return (n * same - chance) / (n * n - chance)


def agreements(con: duckdb.DuckDBPyConnection) -> list[Agreement]:
    """The agreement of every two labellers that have pairs in common, by agent type and by task type."""
    names = [row[0] for row in con.execute("SELECT DISTINCT labeller FROM taxonomy ORDER BY ALL").fetchall()]
    found: list[Agreement] = []
    for place, one in enumerate(names):
        for other in names[place + 1 :]:
            for kind in ("agent_type", "task_type"):
                counts = con.execute(
                    f"""
                    SELECT a.{kind}, b.{kind}, count(*) FROM taxonomy a JOIN taxonomy b USING (pair_id)
                    WHERE a.labeller = ? AND b.labeller = ? GROUP BY ALL
                    """,
                    [one, other],
                ).fetchall()
                a = [x for x, _, n in counts for _ in range(n)]
                b = [y for _, y, n in counts for _ in range(n)]
                if counts:
                    same = sum(n for x, y, n in counts if x == y) / len(a)
                    found.append(Agreement(one, other, kind, len(a), same, cohen_kappa(a, b)))
    return found
