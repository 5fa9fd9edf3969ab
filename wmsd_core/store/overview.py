"""Where a workspace stands: the last run of each stage, the training runs, and how many rows work has brought."""

from typing import Any

import duckdb

from wmsd_core.store.rows import query

STAGES = """
    SELECT stage, benchmark, strftime(started, '%Y-%m-%d %H:%M') AS started_utc, round(seconds, 1) AS seconds,
        json_extract_string(summary, '$.caution') AS caution
    FROM stage_runs ORDER BY started
"""

RUNS = """
    SELECT run_id AS run, json_extract_string(config, '$.arm') AS arm, status = 'finished' AS finished,
        (SELECT coalesce(max(step), 0) FROM training_steps AS s WHERE s.run_id = r.run_id) AS recorded_steps,
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


def row_counts(con: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """How many rows each of `WORK` has."""
    return {table: query(con, f"SELECT count(*) AS n FROM {table}")[0]["n"] for table in WORK}
