"""Some tasks with their pictures, and how many there are of each kind."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import duckdb

from wmsd_core import store
from wmsd_core.pages.images import thumbnail

SHOWN = 12
LABELS_SHOWN = 12


@dataclass(frozen=True)
class Sample:
    """A task-solution pair with its picture."""

    task: str
    solution: str
    split: str
    picture: str | None


@dataclass(frozen=True)
class Share:
    """One kind of task or agent: pairs that have it, in each split."""

    name: str
    train: int
    bench: int


@dataclass(frozen=True)
class Rejected:
    """Why pairs were turned down, with one of them."""

    reason: str
    pairs: int
    task: str
    detail: str


@dataclass(frozen=True)
class Samples:
    """What the section shows."""

    pairs: dict[str, int]
    """Split -> number of pairs."""
    frames: dict[str, int]
    shown: list[Sample]
    by_task: list[Share]
    by_agent: list[Share]
    faults: list[Rejected]
    """Most frequent first."""


def samples(con: duckdb.DuckDBPyConnection) -> Samples | None:
    """The first pairs in order of their ids, which is a random order, of different frames; None without a pair."""
    rows = store.query(
        con,
        """
        SELECT task, solution, coalesce(split, 'none') AS split, path
        FROM usable_pairs JOIN task_pairs USING (pair_id) JOIN frames USING (frame_id) LEFT JOIN splits USING (frame_id)
        QUALIFY row_number() OVER (PARTITION BY frame_id ORDER BY pair_id) = 1 ORDER BY pair_id LIMIT ?
        """,
        [SHOWN],
    )
    if not rows:
        return None
    counts = store.query(
        con,
        """
        SELECT coalesce(split, 'none') AS split, count(*) AS pairs, count(DISTINCT frame_id) AS frames
        FROM usable_pairs JOIN task_pairs USING (pair_id) LEFT JOIN splits USING (frame_id) GROUP BY ALL ORDER BY ALL
        """,
    )
    return Samples(
        pairs={row["split"]: row["pairs"] for row in counts},
        frames={row["split"]: row["frames"] for row in counts},
        shown=[Sample(row["task"], row["solution"], row["split"], thumbnail(Path(row["path"]))) for row in rows],
        by_task=_shares(con, "task_type"),
        by_agent=_shares(con, "agent_type"),
        faults=[Rejected(**row) for row in store.query(con, _FAULTS)],
    )


_FAULTS = """
    SELECT reason, count(*) AS pairs, arg_min(task, frame_id) AS task, arg_min(detail, frame_id) AS detail
    FROM rejected_pairs WHERE frame_id NOT IN (SELECT item FROM rejections WHERE stage NOT IN ('generate', 'split'))
    GROUP BY reason ORDER BY pairs DESC, reason
"""


def _shares(con: duckdb.DuckDBPyConnection, column: str) -> list[Share]:
    rows = store.query(
        con,
        f"""
        SELECT {column} AS name, count(*) FILTER (split = 'train') AS train, count(*) FILTER (split = 'bench') AS bench
        FROM usable_pairs JOIN taxonomy USING (pair_id) JOIN task_pairs USING (pair_id) LEFT JOIN splits USING (frame_id)
        WHERE labeller = (
            SELECT labeller FROM taxonomy GROUP BY labeller ORDER BY count(*) DESC, labeller DESC LIMIT 1)
        GROUP BY name ORDER BY count(*) DESC, name
        """,
    )
    shares = [Share(row["name"], row["train"], row["bench"]) for row in rows]
    if len(shares) <= LABELS_SHOWN:
        return shares
    rest: Counter[str] = Counter()
    for share in shares[LABELS_SHOWN - 1 :]:
        rest += Counter(train=share.train, bench=share.bench)
    kinds = len(shares) - LABELS_SHOWN + 1
    return [*shares[: LABELS_SHOWN - 1], Share(f"{kinds} other kinds", rest["train"], rest["bench"])]
