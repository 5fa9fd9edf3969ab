"""What runs the shards of a stage. Threads by default: the work releases the GIL (decoding) or waits (a model's server)."""

from typing import Any

from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

WORKERS = 2


def shard_runner() -> TaskRunner[Any]:
    """A runner for one stage."""
    return ThreadPoolTaskRunner(max_workers=WORKERS)
