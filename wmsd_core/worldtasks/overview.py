"""What a generation has come to so far: frames, pairs, faults, refusals by kind, and the achieved mixture beside the wished.

Everything is counted in the store, so that a run that was killed, or did nothing because all was done, tells the same.
"""

from dataclasses import dataclass
from typing import Any

import duckdb

from wmsd_core.store import query
from wmsd_core.store.funnel import up_to
from wmsd_core.worldtasks.kinds import AGENT_TYPES, TASK_TYPES, Cell, Mix
from wmsd_core.worldtasks.selection import labeller


@dataclass(frozen=True)
class Overview:
    """Of the frames that the stages before have left: what became of them, their pairs, and pairs rejected by reason."""

    came: int
    """Frames that the stages before have left."""
    with_pairs: int
    refused: int
    without_pairs: int
    unanswered: int
    pairs: int
    rejected: dict[str, int]
    """Pairs that were not usable as they were written, by reason, most frequent first."""


@dataclass(frozen=True)
class RefusalRate:
    """How often the model refused, among frames of one sort. Refusals are no accident: they gather where there is fighting."""

    sort: str
    """source, agent_type wished or task_type wished."""
    value: str
    asked: int
    """Frames with a readable answer."""
    refused: int

    @property
    def rate(self) -> float:
        return self.refused / self.asked


@dataclass(frozen=True)
class Achieved:
    """One cell: its wished share, the pairs that it has, and what came of the wishes for it."""

    cell: Cell
    wished_share: float
    pairs: int
    share: float
    wished: int
    """Frames, of those that the stages before have left, whose request named this cell and was not refused."""
    granted: int
    """Those of them that have a usable pair of this cell."""


def overview(con: duckdb.DuckDBPyConnection, made_by: str) -> Overview:
    """Counts of the generation `made_by` (`generation.generation`)."""
    _came(con)
    outcomes: dict[str, int] = dict(
        con.execute(
            """
            SELECT reason, count(*) FROM rejections SEMI JOIN came ON item = frame_id
            WHERE stage = 'generate' AND config_hash = ? GROUP BY reason
            """,
            [made_by],
        ).fetchall()
    )
    came = con.execute("SELECT count(*) FROM came").fetchall()[0][0]
    frames, pairs = con.execute(
        "SELECT count(DISTINCT frame_id), count(*) FROM task_pairs SEMI JOIN came USING (frame_id) WHERE config_hash = ?",
        [made_by],
    ).fetchall()[0]
    faults = con.execute(
        """
        SELECT reason, count(*) AS n FROM rejected_pairs SEMI JOIN came USING (frame_id)
        WHERE config_hash = ? GROUP BY reason ORDER BY n DESC, reason
        """,
        [made_by],
    ).fetchall()
    return Overview(
        came,
        frames,
        outcomes.get("refused", 0),
        outcomes.get("no_pairs", 0),
        outcomes.get("unanswered", 0),
        pairs,
        dict(faults),
    )


def refusal_rates(con: duckdb.DuckDBPyConnection, made_by: str) -> list[RefusalRate]:
    """Refusal rates by source, and by the kinds that were wished for; highest rate first within each."""
    rows = query(
        con,
        """
        WITH answered AS (
            SELECT DISTINCT frame_id, false AS declined FROM task_pairs WHERE config_hash = $1
            UNION ALL
            SELECT item, reason = 'refused' FROM rejections
            WHERE stage = 'generate' AND config_hash = $1 AND reason IN ('refused', 'no_pairs')
        ),
        sorted AS (
            SELECT 'source' AS sort, source AS value, frame_id FROM frames
            UNION SELECT 'agent_type', agent_type, frame_id FROM wishes WHERE config_hash = $1
            UNION SELECT 'task_type', task_type, frame_id FROM wishes WHERE config_hash = $1
        )
        SELECT sort, value, count(*) AS asked, count(*) FILTER (declined) AS refused
        FROM answered JOIN sorted USING (frame_id) GROUP BY sort, value ORDER BY sort, refused / asked DESC, value
        """,
        [made_by],
    )
    return [RefusalRate(**row) for row in rows]


def achieved(con: duckdb.DuckDBPyConnection, mix: Mix) -> list[Achieved]:
    """The usable pairs by cell, as the labeller of most pairs sees them; cells without share, wish and pair are left out."""
    who = labeller(con)
    _came(con)
    rows = query(
        con,
        """
        SELECT agent_type, task_type, count(*) AS pairs
        FROM usable_pairs JOIN taxonomy USING (pair_id) WHERE labeller = ? GROUP BY ALL
        """,
        [who],
    )
    pairs = {Cell(row["agent_type"], row["task_type"]): row["pairs"] for row in rows}
    rows = query(
        con,
        """
        WITH had AS (
            SELECT DISTINCT frame_id, agent_type, task_type
            FROM task_pairs JOIN usable_pairs USING (pair_id) JOIN taxonomy USING (pair_id) WHERE labeller = ?
        )
        SELECT w.agent_type, w.task_type, count(*) AS wished, count(had.frame_id) AS granted
        FROM wishes w SEMI JOIN came USING (frame_id) LEFT JOIN had USING (frame_id, agent_type, task_type)
        WHERE w.frame_id NOT IN (SELECT item FROM rejections WHERE stage = 'generate' AND reason = 'refused')
        GROUP BY ALL
        """,
        [who],
    )
    wished = {Cell(row["agent_type"], row["task_type"]): (row["wished"], row["granted"]) for row in rows}
    shares, total = mix.cells(), max(1, sum(pairs.values()))
    return [
        Achieved(cell, shares.get(cell, 0.0), pairs.get(cell, 0), pairs.get(cell, 0) / total, *wished.get(cell, (0, 0)))
        for cell in (Cell(agent, task) for agent in AGENT_TYPES for task in TASK_TYPES)
        if cell in shares or cell in pairs or cell in wished
    ]


def some_pairs(con: duckdb.DuckDBPyConnection, count: int) -> list[dict[str, Any]]:
    """Some usable pairs to look at, with their pictures: the same ones every time."""
    sql = """
        SELECT task, solution, path FROM task_pairs JOIN usable_pairs USING (pair_id) JOIN frames USING (frame_id)
        ORDER BY pair_id LIMIT ?
    """
    return query(con, sql, [count])


def rejected_examples(con: duckdb.DuckDBPyConnection, made_by: str) -> list[dict[str, Any]]:
    """For each reason, how many pairs of a generation were not usable as they were written, and one of them."""
    _came(con)
    return query(
        con,
        """
        SELECT reason, count(*) AS pairs, arg_min(detail, task) AS detail, min(task) AS task,
               arg_min(solution, task) AS solution
        FROM rejected_pairs SEMI JOIN came USING (frame_id) WHERE config_hash = ?
        GROUP BY reason ORDER BY pairs DESC, reason
        """,
        [made_by],
    )


def _came(con: duckdb.DuckDBPyConnection) -> None:
    """Makes the view `came`: the frames that the stages before have left. What was written of others counts nowhere."""
    stages = ", ".join(f"'{stage}'" for stage in up_to("screen"))
    con.execute(
        f"""
        CREATE OR REPLACE TEMP VIEW came AS
        SELECT frame_id FROM frames WHERE frame_id NOT IN (SELECT item FROM rejections WHERE stage IN ({stages}))
        """
    )
