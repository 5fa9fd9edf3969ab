"""One run at a time on a workspace: verdicts replace one another, and two runs at once would each undo the other's.

The kernel holds the lock for the process and drops it when the process is gone, however it went.
"""

import fcntl
import logging
import os
import time
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from wmsd_core.workspace import Workspace

REMIND_EVERY = 60.0
"""Seconds between two lines in the log of a run that waits."""

_held: Counter[Path] = Counter()


@contextmanager
def sole_use(workspace: Path) -> Generator[None]:
    """Waits until no other process has the workspace, and holds it. A stage within a pipeline holds it a second time."""
    root = workspace.absolute()
    if _held[root]:
        yield from _counted(root)
        return
    root.mkdir(parents=True, exist_ok=True)
    with Workspace(root).lock.open("a+", encoding="utf-8") as lock:
        _wait(lock, workspace)
        lock.truncate(0)
        lock.write(f"process {os.getpid()} since {datetime.now(UTC):%Y-%m-%d %H:%M} UTC")
        lock.flush()
        yield from _counted(root)


def _counted(root: Path) -> Generator[None]:
    _held[root] += 1
    try:
        yield
    finally:
        _held[root] -= 1


def _wait(lock: TextIO, workspace: Path) -> None:
    told = -REMIND_EVERY
    while True:
        try:
            return fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() - told >= REMIND_EVERY:
                told = time.monotonic()
                lock.seek(0)
                _log().warning(f"waits: another run is at work in {workspace} ({lock.read() or 'just begun'})")
            time.sleep(0.5)


def _log() -> "logging.Logger | logging.LoggerAdapter[logging.Logger]":
    """The run's; or one of our own, where a command needs no run."""
    from prefect.exceptions import MissingContextError  # here: Prefect takes a second to load, and few runs wait
    from prefect.logging import get_run_logger

    try:
        return get_run_logger()
    except MissingContextError:
        return logging.getLogger(__name__)
