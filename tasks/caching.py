"""When a task need not run again: same store, same input set, same settings, same code revision, and its rows are there.

Only tasks that add rows are cached. Their rows are identified by content and stay true whatever is done later. Verdicts
replace one another as thresholds change; they are cheap SQL, and always run.

Prefect remembers what it has seen done, and a store can be copied, restored from a backup or mended by hand meanwhile. A
memory therefore counts only for shards of which the store lacks nothing: `in_shards`.
"""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from prefect import Task
from prefect.context import TaskRunContext

from tasks.bookkeeping import Summary
from tasks.shards import Shard
from wmsd_core import store
from wmsd_core.config import Config, digest
from wmsd_core.store.place import store_id
from wmsd_core.workspace import Workspace

PERSISTED: dict[str, Any] = {"persist_result": True, "result_serializer": "json"}
"""Task options that go with a cache key: results are small JSON, never pickles."""


def in_shards(
    task: Task[..., Summary], workspace: Path, parts: Sequence[Shard], lacking: Collection[str], *arguments: Any
) -> list[Summary]:
    """The task over all shards: remembered where the store lacks nothing, else run. Returns what was done now.

    `lacking` has the beginnings of the ids of frames whose rows are missing.
    """
    again = task.with_options(refresh_cache=True)
    runs = [
        (work, (again if work else task).submit(workspace, part, *arguments))
        for part in parts
        for work in [part.holds(lacking)]
    ]
    results = [(work, run.result()) for work, run in runs]
    return [result for work, result in results if work]


def now_and_before(what: str, done: Sequence[Summary], parts: Sequence[Shard]) -> Summary:
    """What was done now, and of how many frames it was there before; what failed is neither."""
    failed = sum(result.get(name, 0) for result in done for name in ("unusable", "unread"))
    now = sum(result[what] for result in done)
    return {what: now, f"{what}_before": sum(part.frames for part in parts) - now - failed, "unusable": failed}


def content_key(context: TaskRunContext, parameters: dict[str, Any]) -> str:
    """The cache key of a task run: its name, the workspace's store, and every other argument by content."""
    workspace = Workspace(parameters["workspace"])
    arguments = {name: _identity(value) for name, value in parameters.items() if name != "workspace"}
    with store.reading(workspace.store) as con:
        made_for = store_id(con)
    return f"{context.task.name}-{digest([made_for, arguments])}"


def _identity(value: Any) -> Any:
    if isinstance(value, Config):
        return value.digest()
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, list | tuple):
        return [_identity(item) for item in value]
    return value
