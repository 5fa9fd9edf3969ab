"""The last finished run of each stage: settings, counts and duration."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import duckdb

from wmsd_core import __version__
from wmsd_core.config import Config, digest
from wmsd_core.store.rows import insert


def record_stage(
    con: duckdb.DuckDBPyConnection,
    stage: str,
    benchmark: str,
    configs: Mapping[str, Config],
    summary: Mapping[str, Any],
    started: datetime,
) -> None:
    """Writes that a stage has finished now, in place of its last run, and of its benchmark where it has one.

    `summary` is plain JSON, `started` is in UTC.
    """
    row = {
        "stage": stage,
        "benchmark": benchmark,
        "cache_key": digest({name: config.digest() for name, config in configs.items()}),
        "code_version": __version__,
        "config": json.dumps({name: config.model_dump(mode="json") for name, config in configs.items()}),
        "summary": json.dumps(summary),
        "started": started.replace(tzinfo=None),
        "seconds": (datetime.now(UTC) - started).total_seconds(),
    }
    insert(con, "stage_runs", [row], replace=True)
