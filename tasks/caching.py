"""When a task need not run again: same workspace, same input set, same settings, same code revision.

Only tasks that add rows are cached. Their rows are identified by content and stay true whatever is done later, so a cached
result can never describe a store that has moved on. Verdicts replace one another as thresholds change; they are cheap
SQL, and always run. The workspace's own id is part of each key: a deleted and recreated workspace starts afresh.
"""

from pathlib import Path
from typing import Any

from prefect.context import TaskRunContext

from wmsd_core import store
from wmsd_core.config import Config, digest
from wmsd_core.workspace import Workspace

PERSISTED: dict[str, Any] = {"persist_result": True, "result_serializer": "json"}
"""Task options that go with a cache key: results are small JSON, never pickles."""


def content_key(context: TaskRunContext, parameters: dict[str, Any]) -> str:
    """The cache key of a task run: its name, the workspace's store, and every other argument by content."""
    workspace = Workspace(parameters["workspace"])
    arguments = {name: _identity(value) for name, value in parameters.items() if name != "workspace"}
    return f"{context.task.name}-{digest([store_id(workspace), arguments])}"


def store_id(workspace: Workspace) -> str:
    """The random id that a store was created with."""
    with store.reading(workspace.store) as con:
        return store.query(con, "SELECT store_id FROM workspace")[0]["store_id"]


def _identity(value: Any) -> Any:
    if isinstance(value, Config):
        return value.digest()
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, list | tuple):
        return [_identity(item) for item in value]
    return value
