"""The lock of a run's folder. Imports no torch: whoever deletes a run takes it too."""

import fcntl
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from wmsd_core import leftovers


@contextmanager
def alone(folder: Path, patience: float) -> Generator[None]:
    """Holds the folder's lock: two processes in one folder would spoil each other's checkpoints.

    Waits for `patience` seconds, since a predecessor that was told to stop finishes its step first. The kernel drops the
    lock of a process that dies.

    Raises:
        ValueError: there is no such folder, or another process trains in it.
    """
    if not folder.is_dir():
        raise ValueError(f"there is no run in {folder}")
    deadline = time.monotonic() + patience
    with (folder / leftovers.LOCK).open("a") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > deadline:
                    raise ValueError(f"another process is training in {folder}; wait for it, or stop it") from error
                time.sleep(0.1)
        yield
