"""What killed processes left half written in runs of training: gigabytes where it is a checkpoint of a large model."""

import fcntl
import shutil
from pathlib import Path

LOCK = "lock"
"""In a run's folder; held by the process that trains there, and dropped by the kernel when it is gone."""


def of_run(folder: Path) -> list[Path]:
    """What lies half written in a run's folder, whether somebody still writes it or not."""
    return sorted(path for pattern in (".*.partial", "checkpoints/.*.partial") for path in folder.glob(pattern))


def of_killed(training: Path) -> list[Path]:
    """Likewise of all runs below `training`, but for those in which a process is at work."""
    runs = sorted(path for path in training.glob("*") if path.is_dir())
    return [path for run in runs if not _in_use(run) for path in of_run(run)]


def _in_use(folder: Path) -> bool:
    try:
        with (folder / LOCK).open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def remove(path: Path) -> None:
    """Deletes a file or a folder that may be gone already."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
