"""What made the numbers: runs of stages, training runs, versions."""

import json
import platform
from dataclasses import dataclass
from datetime import datetime
from importlib import metadata
from typing import Any

import duckdb

from wmsd_core import store
from wmsd_core.store import schema

PACKAGES = ("wmsd", "torch", "diffusers", "transformers", "peft", "duckdb", "numpy", "pillow", "opencv-python-headless")


@dataclass(frozen=True)
class StageRun:
    """A row of `stage_runs`."""

    stage: str
    benchmark: str
    """'' for a stage without one."""
    started: datetime
    seconds: float
    code_version: str
    cache_key: str
    config: str
    summary: str
    """Both as indented JSON."""


@dataclass(frozen=True)
class TrainingRun:
    """A row of `training_runs`."""

    run_id: str
    arm: str
    status: str
    steps: int
    adapter: str
    config_hash: str
    config: str


@dataclass(frozen=True)
class EvaluationRow:
    """The average of one arm of one evaluation in the store."""

    evaluation_id: str
    benchmark: str
    arm: str
    score: float | None
    low: float | None
    high: float | None
    valid: int
    expected: int


@dataclass(frozen=True)
class Provenance:
    """What the section shows."""

    store_id: str
    schema: int
    stage_runs: list[StageRun]
    training_runs: list[TrainingRun]
    evaluations: list[EvaluationRow]
    made_by: list[tuple[str, str, int]]
    """(what, configuration or model or version, rows)."""
    versions: list[tuple[str, str]]


def provenance(con: duckdb.DuckDBPyConnection) -> Provenance:
    """Everything that the store and this environment know about how the numbers came about."""
    runs = store.query(con, "SELECT * EXCLUDE (members) FROM stage_runs ORDER BY started, stage")
    training = store.query(
        con,
        """
        SELECT run_id, coalesce(config->>'arm', '') AS arm, status, adapter, config_hash, config,
               (SELECT coalesce(max(step), 0) FROM training_steps s WHERE s.run_id = r.run_id) AS steps
        FROM training_runs r ORDER BY arm, run_id
        """,
    )
    evaluations = store.query(
        con,
        """
        SELECT evaluation_id, benchmark, arm, score, low, high, valid, expected FROM evaluations
        WHERE criterion = 'average' ORDER BY benchmark, evaluation_id, arm
        """,
    )
    return Provenance(
        store_id=str(con.execute("SELECT store_id FROM workspace").fetchall()[0][0]),
        schema=schema.version_of(con),
        stage_runs=[StageRun(**_indented(row, "config", "summary")) for row in runs],
        training_runs=[TrainingRun(**_indented(row, "config")) for row in training],
        evaluations=[EvaluationRow(**row) for row in evaluations],
        made_by=[(what, str(by), rows) for what, by, rows in con.execute(_MADE_BY).fetchall()],
        versions=[("python", platform.python_version()), *((name, _version(name)) for name in PACKAGES)],
    )


_MADE_BY = """
    SELECT 'measurements' AS what, 'configuration ' || config_hash AS made_by, count(*) FROM measurements GROUP BY ALL
    UNION ALL SELECT 'rejections', stage || ', configuration ' || config_hash, count(*) FROM rejections GROUP BY ALL
    UNION ALL SELECT 'aesthetics', scorer, count(*) FROM aesthetics GROUP BY ALL
    UNION ALL SELECT 'screenings', model || ', ' || prompt_version, count(*) FROM screenings GROUP BY ALL
    UNION ALL SELECT 'task pairs', model || ', ' || prompt_version || ', configuration ' || config_hash, count(*)
              FROM task_pairs GROUP BY ALL
    UNION ALL SELECT 'taxonomy', labeller, count(*) FROM taxonomy GROUP BY ALL
    UNION ALL SELECT 'splits', 'configuration ' || config_hash, count(*) FROM splits GROUP BY ALL
    UNION ALL SELECT 'videos', arm || ', ' || sampler || CASE adapter WHEN '' THEN '' ELSE ', adapter ' || adapter[:12]
    END, count(*) FROM videos GROUP BY ALL UNION ALL SELECT 'judgments', judge || ', ' || question_version, count(*)
    FROM judgments GROUP BY ALL ORDER BY ALL
"""


def _indented(row: dict[str, Any], *columns: str) -> dict[str, Any]:
    """The row with these columns, JSON texts, spread over lines."""
    return row | {column: json.dumps(json.loads(row[column]), indent=2, ensure_ascii=False) for column in columns}


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"
