"""The last finished run of each stage: settings, counts, duration, and a digest of the frames that it was given."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import duckdb

from wmsd_core import __version__
from wmsd_core.config import Config, digest
from wmsd_core.store.funnel import Stage, before, members
from wmsd_core.store.rows import insert, query


def cache_key(configs: Mapping[str, Config]) -> str:
    """Identity of a stage's settings."""
    return digest({name: config.digest() for name, config in configs.items()})


def record_stage(
    con: duckdb.DuckDBPyConnection,
    stage: str,
    benchmark: str,
    configs: Mapping[str, Config],
    summary: Mapping[str, Any],
    started: datetime,
) -> list[str]:
    """Writes that a stage has finished now, in place of its last run, and of its benchmark where it has one.

    `summary` is plain JSON, `started` is in UTC. Returns, after a data stage, which stages had other frames than are left now.
    """
    given = before(stage)
    now = members(con) if given else {}
    row = {
        "stage": stage,
        "benchmark": benchmark,
        "cache_key": cache_key(configs),
        "code_version": __version__,
        "config": json.dumps({name: config.model_dump(mode="json") for name, config in configs.items()}),
        "summary": json.dumps(summary),
        "started": started.replace(tzinfo=None),
        "seconds": (datetime.now(UTC) - started).total_seconds(),
        "members": now[given] if given else "",
    }
    insert(con, "stage_runs", [row], replace=True)
    return [name for name, run in _runs(con, "", now).items() if run.outdated] if given else []


@dataclass(frozen=True)
class StageRun:
    """The last finished run of a stage."""

    cache_key: str
    summary: dict[str, Any]
    seconds: float
    outdated: bool
    """Whether the frames that it was given are others now. A store from before this was kept counts as outdated."""


def last_runs(con: duckdb.DuckDBPyConnection, benchmark: str) -> dict[str, StageRun]:
    """The last run of each stage that has finished, of those of a benchmark this one's, in order of time."""
    return _runs(con, benchmark, members(con))


def _runs(con: duckdb.DuckDBPyConnection, benchmark: str, now: Mapping[Stage, str]) -> dict[str, StageRun]:
    rows = query(
        con,
        "SELECT stage, cache_key, summary, seconds, members FROM stage_runs WHERE benchmark IN ('', ?) ORDER BY started",
        [benchmark],
    )
    return {
        row["stage"]: StageRun(
            row["cache_key"],
            json.loads(row["summary"]),
            row["seconds"],
            row["members"] != (now[given] if (given := before(row["stage"])) else ""),
        )
        for row in rows
    }
