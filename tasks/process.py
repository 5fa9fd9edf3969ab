"""A child process that cannot outlive its task: its own process group, watched line by line, and ended with it.

Prefect does not end grandchildren. Whatever interrupts the task (cancellation, SIGTERM, Ctrl-C) reaches the whole group:
SIGTERM, so that training can write a checkpoint, and SIGKILL after a grace period. If the task itself is killed
outright, the child sees its standard input close and stops by itself.
"""

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

GRACE = 60.0
"""Seconds between SIGTERM and SIGKILL: enough to finish a step and write a checkpoint."""

FOLLOWED_EVERY = 0.5
"""Seconds between two looks at what a child has said."""

_alive: set[subprocess.Popen[str]] = set()
_stopping = threading.Event()
_beginning = threading.Lock()


class ProcessFailed(RuntimeError):
    """A child process ended with an error; the message has its last words."""


def watch(
    command: Sequence[str],
    on_line: Callable[[str], None],
    *,
    log: Path,
    on_remark: Callable[[str], None] = lambda _: None,
) -> None:
    """Runs `command`, hands each line of its output to `on_line`, and returns when it has ended well.

    Its error output is appended to `log`, and goes from there to `on_remark`, line by line, from a thread: a child that
    outlives its task for a checkpoint's time must not meet a broken pipe.

    Raises:
        ProcessFailed: it ended with another status than 0, or is not begun any more (`end_all`).
    """
    with log.open("ab") as errors:
        start = errors.tell()
        with _beginning:
            if _stopping.is_set():
                raise ProcessFailed(f"{command[0]} is not begun: all was told to stop")
            child = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, start_new_session=True
            )
            _alive.add(child)
        with _following(log, start, on_remark):
            try:
                assert child.stdout is not None
                for line in child.stdout:
                    on_line(line.rstrip("\n"))
                status = child.wait()
            except BaseException:
                end(child, on_line)
                raise
            finally:
                _alive.discard(child)
    if status:
        words = log.read_bytes()[start:].decode(errors="replace").strip().splitlines()
        raise ProcessFailed(f"{command[0]} ended with status {status}: {words[-1] if words else f'see {log}'}")


@contextmanager
def _following(log: Path, start: int, on_line: Callable[[str], None]) -> Generator[None]:
    """Hands on the lines that are added to a file after byte `start`, until the block has ended and all are read."""
    ended = threading.Event()

    def follow() -> None:
        with log.open(encoding="utf-8", errors="replace") as lines:
            lines.seek(start)
            begun, last = "", False
            while not last:
                last = ended.wait(FOLLOWED_EVERY)
                begun += lines.read()
                *whole, begun = begun.split("\n")
                for line in [*whole, begun] if last else whole:
                    if line.strip():
                        on_line(line)

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def end(child: subprocess.Popen[str], on_line: Callable[[str], None] = lambda _: None) -> None:
    """SIGTERM to the child's process group, SIGKILL to what is left after the grace period. What it says meanwhile, that it
    has written a checkpoint for one, goes to `on_line`."""
    _signal_group(child, signal.SIGTERM)
    impatience = threading.Timer(GRACE, _signal_group, (child, signal.SIGKILL))
    impatience.start()
    try:
        for line in child.stdout or ():
            on_line(line.rstrip("\n"))
        child.wait()
    finally:
        impatience.cancel()
        _signal_group(child, signal.SIGKILL)
        child.wait()


def end_all() -> None:
    """As `end`, for the children of all threads, whose tasks no interruption reaches; and no further one is begun."""
    with _beginning:
        _stopping.set()
    for child in list(_alive):
        _signal_group(child, signal.SIGTERM)
        impatience = threading.Timer(GRACE, _signal_group, (child, signal.SIGKILL))
        impatience.daemon = True
        impatience.start()


def any_left() -> bool:
    """Whether a child runs, or is on its way to its end."""
    return bool(_alive)


def kill_all() -> None:
    """SIGKILL to all children, where nothing can be waited for any more: their last checkpoints are whole."""
    for child in list(_alive):
        _signal_group(child, signal.SIGKILL)


def _signal_group(child: subprocess.Popen[str], number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(child.pid, number)
