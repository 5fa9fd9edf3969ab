"""How many frames each stage left, and what it dropped for which reason."""

from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import duckdb

from wmsd_core import store
from wmsd_core.pages.images import thumbnail
from wmsd_core.store.funnel import DROPPED, STAGES, dropped_at, survivors

EXAMPLES = 8
"""Thumbnails per reason."""
SOURCES = 20
STAGE_TEXT = {
    "frames": "files that are readable images, each content once",
    "filter": "sharp enough, neither too dark, too bright nor empty",
    "dedup": "of pictures that show the same, the best one",
    "rank": "best by aesthetic and quality score",
    "screen": "an agent could do something here, says the VLM",
    "generate": "with at least one task and its solution",
}
_RAN = {
    "frames": "SELECT count(*) FROM frames",
    "filter": "SELECT count(*) FROM measurements",
    "dedup": "SELECT count(*) FROM signatures",
    "rank": "SELECT count(*) FROM aesthetics",
    "screen": "SELECT count(*) FROM screenings",
    "generate": "SELECT count(*) FROM task_pairs",
}


@dataclass(frozen=True)
class Reason:
    """Why frames were dropped, with examples."""

    reason: str
    count: int
    detail: str
    """What the store says about one of them."""
    examples: list[str]
    """Data URIs; files that cannot be shown are left out."""


@dataclass(frozen=True)
class Step:
    """A stage of the funnel."""

    stage: str
    ran: bool
    entered: int
    left: int
    share: float
    """`left` as a share of the files that were found."""
    reasons: list[Reason]


def funnel(con: duckdb.DuckDBPyConnection) -> list[Step]:
    """Every stage in order; a stage that has not run leaves what it was given. Empty where no file was ever found."""
    found = con.execute(
        """
        SELECT (SELECT count(*) FROM frames) + (
            SELECT count(DISTINCT item) FROM rejections
            WHERE stage = 'frames' AND item NOT IN (SELECT frame_id FROM frames))
        """
    ).fetchall()[0][0]
    if not found:
        return []
    steps: list[Step] = []
    entered = found
    for stage in STAGES:
        left = len(survivors(con, stage))
        rejections = store.query(
            con,
            f"""
            SELECT reason || if(item IN (SELECT pair_id FROM task_pairs), ' (pairs)', '') AS reason,
                   count(*) AS count, min(detail) AS detail, list(path ORDER BY item)[:$most] AS paths
            FROM ({DROPPED}) GROUP BY ALL ORDER BY count DESC, reason
            """,
            dropped_at(stage) | {"most": 3 * EXAMPLES},
        )
        ran = bool(con.execute(_RAN[stage]).fetchall()[0][0])
        steps.append(Step(stage, ran, entered, left, left / found, [_reason(row) for row in rejections]))
        entered = left
    return steps


@dataclass(frozen=True)
class Origin:
    """Frames of one origin under one licence."""

    source: str
    licence: str
    """Empty where it is not known."""
    frames: int
    left: int
    """Of them, after every stage that has run."""


def sources(con: duckdb.DuckDBPyConnection) -> list[Origin]:
    """The sources of most frames."""
    rows = store.query(
        con,
        """
        SELECT source, coalesce(licence, '') AS licence, count(*) AS frames,
               count(*) FILTER (frame_id NOT IN (SELECT item FROM rejections)) AS left
        FROM frames GROUP BY ALL ORDER BY frames DESC, source, licence LIMIT ?
        """,
        [SOURCES],
    )
    return [Origin(**row) for row in rows]


def _reason(row: dict[str, Any]) -> Reason:
    pictures = (thumbnail(Path(path)) for path in row["paths"])
    shown = islice((uri for uri in pictures if uri), EXAMPLES)
    return Reason(row["reason"], row["count"], row["detail"], list(shown))
