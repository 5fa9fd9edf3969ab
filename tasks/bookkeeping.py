"""What the store knows of each stage: its last finished run, with settings, counts and duration."""

import dataclasses
from collections import Counter
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from tasks.sole_use import sole_use
from wmsd_core import store
from wmsd_core.config import Config
from wmsd_core.models import ModelsConfig
from wmsd_core.store import overview
from wmsd_core.store.stage_runs import record_stage
from wmsd_core.vlm import request_log
from wmsd_core.workspace import Workspace

Summary = dict[str, Any]
"""Counts and figures of a stage run: plain JSON."""


@contextmanager
def stage_run(workspace: Path, stage: str, configs: Mapping[str, Config], *, benchmark: str = "") -> Generator[Summary]:
    """Times a stage and records the summary that the block fills in, if it ends well, with what a model's server took.

    A run replaces the last one of its stage, and of its benchmark where it has one. After a data stage the summary also tells
    which stages have finished with other frames than are left now, and what brings them up to date.
    """
    started = datetime.now(UTC)
    summary: Summary = {}
    requests, models = Workspace(workspace).requests, configs.get("models")
    before = request_log.spent(requests)
    with sole_use(workspace):
        yield summary
    spent = request_log.spent(requests) - before
    if isinstance(models, ModelsConfig) and spent != request_log.Spending():
        prices = models.server
        cost = spent.cost(prices.prompt_price, prices.cached_price, prices.completion_price)
        summary["requests"] = plain(spent) | {"cost": round(cost, 6)}
    with store.writing(Workspace(workspace).store) as con:
        others = record_stage(con, stage, benchmark, configs, summary, started)
    if others:
        told = f"{', '.join(others)} had other frames, and what comes after may change: see `wmsd pipeline --plan`"
        summary["outdated"] = told


def nothing_kept(stage: str, why: str, cure: str) -> Summary:
    """What the summary of a stage says that left nothing."""
    return {"caution": f"{stage}: nothing is kept ({why}); {cure}"}


def go_on(summary: Summary) -> Summary:
    """The summary of a stage, if what comes after it has anything to work on.

    Raises:
        ValueError: nothing is left; the message has the reasons and what would keep something.
    """
    if "caution" in summary:
        raise ValueError(summary["caution"])
    return summary


def counted(reasons: Mapping[str, int]) -> str:
    """Reasons with their numbers, the most frequent first."""
    return ", ".join(f"{number} {name}" for name, number in sorted(reasons.items(), key=lambda one: -one[1]) if number)


def require_done(stage: str, missing: int, what: str) -> None:
    """Stops where a stage that has just finished left frames without its rows, which only outside changes can bring about.

    Raises:
        ValueError: it did; the message says what to do.
    """
    if missing:
        raise ValueError(
            f"{stage}: {missing} frames have no {what}, though the stage has just made all that were missing. Something else "
            "has changed the store or the files meanwhile: run the stage again, and if that does not help, "
            "`wmsd verify --mend`"
        )


def plain(value: Any) -> Any:
    """A summary as plain JSON: dataclasses and configurations become mappings, paths strings."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def row_counts(workspace: Path) -> Counter[str]:
    """How many rows each table of work has; none where there is no store yet."""
    path = Workspace(workspace).store
    if not path.exists():
        return Counter()
    with store.reading(path) as con:
        return Counter(overview.row_counts(con))
