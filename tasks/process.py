"""A child process that cannot outlive its task: its own process group, watched line by line, and ended with it.

Prefect does not end grandchildren. Whatever interrupts the task (cancellation, SIGTERM, Ctrl-C) reaches the whole group:
SIGTERM, so that training can write a checkpoint, and SIGKILL after a grace period. If the task itself is killed
outright, the child sees its standard input close and stops by itself.
"""

import os
import signal
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

GRACE = 60.0
"""Seconds between SIGTERM and SIGKILL: enough to finish a step and write a checkpoint."""


class ProcessFailed(RuntimeError):
    """A child process ended with an error; the message has its last words."""


def watch(command: Sequence[str], on_line: Callable[[str], None], *, log: Path) -> None:
    """Runs `command`, hands each line of its output to `on_line`, and returns when it has ended well.

    Its error output is appended to `log`.

    Raises:
        ProcessFailed: it ended with another status than 0.
    """
    with log.open("ab") as errors:
        start = errors.tell()
        child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, start_new_session=True
        )
        try:
            assert child.stdout is not None
            for line in child.stdout:
                on_line(line.rstrip("\n"))
            status = child.wait()
        except BaseException:
            end(child)
            raise
    if status:
        words = log.read_bytes()[start:].decode(errors="replace").strip().splitlines()
        raise ProcessFailed(f"{command[0]} ended with status {status}: {words[-1] if words else f'see {log}'}")


def end(child: subprocess.Popen[str]) -> None:
    """SIGTERM to the child's process group, SIGKILL to what is left after the grace period."""
    _signal_group(child, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        child.wait(GRACE)
    _signal_group(child, signal.SIGKILL)
    child.wait()


def _signal_group(child: subprocess.Popen[str], number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(child.pid, number)
