"""How a command ends when it is told to stop: by Ctrl-C, by SIGTERM, or because its terminal has gone.

Before a flow runs there is nothing to save, and the process ends on the spot, even in the middle of an import. While one
runs, it is unwound as by Ctrl-C: trainings, of whatever thread, write a checkpoint, Prefect is told, the temporary server is
ended. What takes longer than `PATIENCE` beside that (a shard in a thread) is not waited for, since its finished rows are in
the store; a second Ctrl-C waits for nothing.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PATIENCE = 3.0
"""Seconds for what is not training."""
KEPT = "stopped: what was finished is kept, and the same command goes on from there"

received: list[int] = []
"""The signals so far."""

_unwinding: list[Callable[[], bool]] = []  # not empty while a flow runs; each says whether it still needs time
_told: list[Callable[[], None]] = []
_at_once: list[Callable[[], None]] = []


def listen() -> None:
    """Takes the signals over. To be called once, in the main thread."""
    # Prefect has a handler of its own while a flow runs. This descriptor hears of every signal all the same.
    hear, tell = os.pipe()
    os.set_blocking(tell, False)
    signal.set_wakeup_fd(tell, warn_on_full_buffer=False)
    threading.Thread(target=_hurry, args=(hear,), daemon=True).start()
    for number in SIGNALS:
        signal.signal(number, _stop)
    sys.unraisablehook = _say_unless_stopped


@contextmanager
def unwinding(
    needs_time: Callable[[], bool], at_once: Callable[[], None], told: Callable[[], None] = lambda: None
) -> Generator[None]:
    """From here on a signal raises KeyboardInterrupt, in the main thread alone: `told` tells the others. `needs_time` says that
    unwinding is still to be waited for, `at_once` is what has to be done where it is not."""
    _unwinding.append(needs_time)
    _told.append(told)
    _at_once.append(at_once)
    try:
        yield
    finally:
        _unwinding.pop()
        _told.pop()
        _at_once.pop()


def status() -> int:
    """What the shell expects of a process that a signal has stopped."""
    return 128 + (received[0] if received else signal.SIGINT)


def _stop(number: int, _: FrameType | None) -> None:
    received.append(number)
    if not _unwinding:
        _end()
    raise KeyboardInterrupt


def _say_unless_stopped(lost: "sys.UnraisableHookArgs") -> None:
    """The interrupt may come while a finalizer runs, where Python prints it and goes on: `_hurry` ends the process then."""
    if not received:
        sys.__unraisablehook__(lost)


def _hurry(hear: int) -> None:
    pressed = 0
    while number := os.read(hear, 1)[0]:
        if number not in SIGNALS:
            continue
        received.append(number)
        pressed += number == signal.SIGINT  # Prefect sends itself a SIGTERM for each flow that it unwinds
        if pressed > 1:
            _end()
        threading.Thread(target=_wait_and_end, daemon=True).start()


def _wait_and_end() -> None:
    for tell in _told:
        tell()
    time.sleep(PATIENCE)
    while any(needs_time() for needs_time in _unwinding):
        time.sleep(0.1)
    _end()


def _end() -> None:
    for do in _at_once:
        do()
    sys.stderr.write(KEPT + "\n")
    sys.stderr.flush()
    os._exit(status())
