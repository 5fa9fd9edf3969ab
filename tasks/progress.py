"""Progress of long work: a bar on a terminal, a line now and then in a log, a progress artifact in the Prefect UI."""

import logging
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from uuid import UUID

import httpx
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.exceptions import PrefectException
from prefect.logging import get_run_logger
from prefect.logging.handlers import PrefectConsoleHandler
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.theme import Theme

Report = Callable[[int, int], None]
"""Called with (done, total) as often as the work likes."""

EVERY = 10.0
"""Seconds between two lines in the log, and between two updates of the artifact."""


@contextmanager
def progress(description: str, key: str) -> Generator[Report]:
    """A callback that shows (done, total) wherever somebody may be looking."""
    logger = get_run_logger()
    artifact = create_progress_artifact(progress=0.0, key=key, description=description)
    assert isinstance(artifact, UUID)  # not a coroutine: this is no async context
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    screen = console()
    bar = Progress(*columns, console=screen, transient=True, disable=not sys.stderr.isatty())
    line = bar.add_task(description, total=None)
    last = time.monotonic()

    def report(done: int, total: int) -> None:
        nonlocal last
        bar.update(line, completed=done, total=total)
        if time.monotonic() - last >= EVERY or done == total:
            last = time.monotonic()
            logger.info(f"{description}: {done} of {total}")
            try:
                update_progress_artifact(artifact_id=artifact, progress=100.0 * done / max(total, 1))
            except (httpx.HTTPError, PrefectException) as error:
                # A server that is away for a while is no reason to stop a night of training.
                logger.warning(f"the progress display could not be updated: {error}")

    with screen.use_theme(Theme()), bar:  # Prefect's console knows the styles of a log alone
        yield report


def console() -> Console:
    """The one that the log is written to: a bar on another one and the lines of the log would write over each other."""
    handlers = logging.getLogger().handlers
    return next((each.console for each in handlers if isinstance(each, PrefectConsoleHandler)), Console(stderr=True))


@contextmanager
def notes(description: str) -> Generator[Callable[[str], None]]:
    """A callback for work of unknown length, which is called often with where it is: a line in the log now and then."""
    logger = get_run_logger()
    last = time.monotonic()

    def report(where: str) -> None:
        nonlocal last
        if time.monotonic() - last >= EVERY:
            last = time.monotonic()
            logger.info(f"{description}: {where}")

    yield report
