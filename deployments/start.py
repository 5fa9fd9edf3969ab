"""What every process that runs flows sets up first, whoever started it: a command, a worker, a test of either.

`begin` is called before anything heavy is imported: threads of arithmetic are counted when numpy and torch are loaded.
"""

import atexit
import ctypes
import gc
import logging
import os
import sys
from collections.abc import Callable

ENVIRONMENT = {
    # No usage data leaves the machine.
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    # One thread of arithmetic: a second one waits more than it works on a small network, and bits depend on their number.
    "OMP_NUM_THREADS": "1",
    # A first start makes the server's database; on a busy machine the default of 20 s is too short for that.
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180",
    # glibc gives threads that come and go eight heaps a core, and what was free in each stays there: memory that grew with the
    # number of pictures, though no more of it was in use.
    "MALLOC_ARENA_MAX": str(os.cpu_count() or 1),
}
"""Set where the user has set nothing else, and inherited by every child."""

GARBAGE = 50_000
"""New objects after which Python looks for cycles. Importing makes hundreds of thousands that stay: with the default, 700, a
seventh of the time of a start goes into looking."""


def begin() -> None:
    """Sets up this process, once; a second call changes nothing."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    _limit_heaps(int(os.environ["MALLOC_ARENA_MAX"]))
    gc.set_threshold(GARBAGE, *gc.get_threshold()[1:])
    for name in ("prefect", "prefect.flow_runs", "prefect.task_runs", "prefect.engine"):
        logging.getLogger(name).addFilter(_without_traceback)
    if _end_quietly not in _last:
        _last.append(_end_quietly)


def _limit_heaps(number: int) -> None:
    """What MALLOC_ARENA_MAX says, for this process too: glibc has read its environment already."""
    if sys.platform == "linux" and (mallopt := getattr(ctypes.CDLL(None), "mallopt", None)):  # musl has no such setting
        mallopt(_ARENA_MAX, number)


_ARENA_MAX = -8
"""M_ARENA_MAX of malloc.h."""


def leave(status: int) -> None:
    """Ends the process with `status`, after every exit handler has run."""
    global _status
    _status = status
    sys.exit(status)


_status: int | None = None
_last: list[Callable[[], None]] = []


@atexit.register
def _run_last() -> None:
    # Handlers run last in, first out: this one, registered before those of all libraries, is the last.
    for function in _last:
        function()


def _end_quietly() -> None:
    """Ends the process before the interpreter is torn down.

    Prefect's daemon threads are alive then, hold DuckDB's connection type, and DuckDB's bindings print a page of "leaked"
    names for it over the result that the user wanted to read.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    if _status is not None:
        os._exit(_status)
    # A run of a worker's, which ends with a status of Prefect's own: it is not known here, so what is still said is not heard.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def _without_traceback(record: logging.LogRecord) -> bool:
    """A user's mistake, or wish to stop, is told once, at the end, in one line; a traceback in front would bury it."""
    error = record.exc_info[1] if record.exc_info else None
    return isinstance(error, Exception | None) and not isinstance(error, ValueError | OSError)
