"""Which failures are tried again."""

from typing import Any

from prefect import Task
from prefect.client.schemas.objects import State, TaskRun


def not_a_mistake(task: Task[..., Any], run: TaskRun, state: State[Any]) -> bool:
    """A ValueError is a mistake of the user's: it will be the same in ten seconds."""
    return not isinstance(state.result(raise_on_failure=False), ValueError)


def retried(times: int, delay: float) -> dict[str, Any]:
    """Options of a task that is tried again `times` times, `delay` seconds apart."""
    return {"retries": times, "retry_delay_seconds": delay, "retry_condition_fn": not_a_mistake}
