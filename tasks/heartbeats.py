"""Prefect's sign of life of a flow run: a thread that is waited for when the run ends, up to a second."""

from collections.abc import Generator
from contextlib import contextmanager

from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings


@contextmanager
def silent() -> Generator[None]:
    """Flows that are begun within the block give none: a run around them does, in the same process, or nobody listens."""
    if PREFECT_FLOWS_HEARTBEAT_FREQUENCY.value() is None:  # other settings take Prefect a seventh of a second
        yield
        return
    with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
        yield
