"""One evaluation as it was counted, whole: what names it, and every verdict. It can be compared with another later, when items,
questions and code have moved on, and by somebody who has only the file."""

from pathlib import Path

import duckdb
from pydantic import Field, ValidationError

from wmsd_core import store
from wmsd_core.bench.evaluation import Evaluation
from wmsd_core.bench.timing import Seconds
from wmsd_core.config import Config


class PictureScores(Config):
    """PickScore of an arm's videos, as published: not divided by anything; null where a video has none."""

    scorer: str
    score: list[float | None]
    """Of each item's video the mean over its frames."""
    first: list[float | None]
    """Of its first frame alone."""


class EvaluationRun(Config):
    """Plain JSON."""

    evaluation_id: str
    benchmark: str
    """Its name."""
    evaluation: Evaluation
    items: list[str]
    """Ids, in the order of the draw."""
    pictures: list[str]
    """The frame of each item."""
    questions: dict[str, str]
    """Criterion -> SHA-256 of its question, polarity included."""
    verdicts: dict[str, dict[str, list[bool | None]]]
    """Arm -> criterion -> a verdict for each item; null where there is none."""
    seconds: dict[str, Seconds] = Field(default={})
    """Arm -> part -> mean seconds per video (`timing`)."""
    picture_scores: dict[str, PictureScores] = Field(default={})
    """Arm -> PickScore, if it was asked for."""


def load(con: duckdb.DuckDBPyConnection, name: str = "") -> EvaluationRun:
    """A run by its id or the beginning of it, or as the file that was published of it; '' is the newest one.

    Raises:
        ValueError: there is none of this name, or several begin so.
    """
    if name.endswith(".json"):
        try:
            return EvaluationRun.model_validate_json(Path(name).read_bytes())
        except OSError as error:
            raise ValueError(f"{name} is no published run: {error.strerror}") from error
        except ValidationError as error:
            raise ValueError(f"{name} is no published run: it is not what `wmsd publish` writes as run.json") from error
    rows = store.query(
        con,
        "SELECT evaluation_id, benchmark, record FROM evaluation_runs "
        "WHERE starts_with(evaluation_id, ?) ORDER BY counted DESC",
        [name],
    )
    if not rows or (name and len(rows) > 1):
        known = store.query(con, "SELECT evaluation_id, benchmark FROM evaluation_runs ORDER BY counted DESC LIMIT 9")
        told = (
            ", ".join(f"{row['evaluation_id']} ({row['benchmark']})" for row in known)
            or "none yet: run `wmsd evaluate`"
        )
        raise ValueError(f"{len(rows)} evaluations begin with '{name}'; the newest are {told}")
    return EvaluationRun.model_validate_json(rows[0]["record"])
