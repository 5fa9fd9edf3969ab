"""Where a workspace stands: the last run of each stage, the training runs, and how many rows work has brought."""

from typing import Any

import duckdb

from wmsd_core.store.funnel import Stage, up_to
from wmsd_core.store.rows import query

STAGES = """
    SELECT stage, benchmark, strftime(started, '%Y-%m-%d %H:%M') AS started_utc, round(seconds, 1) AS seconds,
        json_extract_string(summary, '$.caution') AS caution
    FROM stage_runs ORDER BY started
"""

RUNS = """
    SELECT run_id AS run, json_extract_string(config, '$.arm') AS arm, status = 'finished' AS finished,
        (SELECT coalesce(max(step), 0) FROM training_steps AS s WHERE s.run_id = r.run_id) AS step,
        adapter, folder
    FROM training_runs AS r ORDER BY run_id
"""

WORK = (
    *("frames", "measurements", "signatures", "embeddings", "aesthetics", "screenings", "task_pairs"),
    *("rejected_pairs", "verifications", "training_steps", "videos", "judgments"),
)
"""Tables that grow by work, not by verdicts."""


def stages(con: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    """The last finished run of each stage, the earliest first."""
    return query(con, STAGES)


def runs(con: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    """Every training run with the last step that the store knows."""
    return query(con, RUNS)


def pace(con: duckdb.DuckDBPyConnection, run_id: str) -> tuple[int, float | None]:
    """The last step of a training run that the store knows, and the mean seconds of one; 0 and None before the first."""
    steps, each = con.execute(
        """
        SELECT coalesce(max(step), 0), sum(value) FILTER (starts_with(metric, 'seconds/')) / count(DISTINCT step)
        FROM training_steps WHERE run_id = ?
        """,
        [run_id],
    ).fetchall()[0]
    return steps, each


def row_counts(con: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """How many rows each of `WORK` has."""
    return {table: query(con, f"SELECT count(*) AS n FROM {table}")[0]["n"] for table in WORK}


def verdict_examples(con: duckdb.DuckDBPyConnection, stage: Stage, each: int) -> list[dict[str, Any]]:
    """Some frames that a stage kept, and of each reason some that it dropped: reason, frame_id, path, and n, how many of it."""
    kept = """
        SELECT 'kept' AS reason, frame_id, path, count(*) OVER () AS n FROM frames
        WHERE frame_id NOT IN (SELECT item FROM rejections WHERE list_contains(?, stage)) ORDER BY frame_id LIMIT ?
    """
    dropped = """
        SELECT reason, frame_id, frames.path AS path, count(*) OVER (PARTITION BY reason) AS n
        FROM rejections JOIN frames ON item = frame_id WHERE stage = ?
        QUALIFY row_number() OVER (PARTITION BY reason ORDER BY frame_id) <= ? ORDER BY n DESC, reason, frame_id
    """
    return query(con, kept, [up_to(stage), each]) + query(con, dropped, [stage, each])


def task_examples(con: duckdb.DuckDBPyConnection, number: int) -> list[dict[str, Any]]:
    """Usable pairs of different frames: frame_id, path, task, solution."""
    return query(
        con,
        """
        SELECT frame_id, path, task, solution
        FROM usable_pairs JOIN task_pairs USING (pair_id) JOIN frames USING (frame_id)
        QUALIFY row_number() OVER (PARTITION BY frame_id ORDER BY pair_id) = 1 ORDER BY pair_id LIMIT ?
        """,
        [number],
    )
