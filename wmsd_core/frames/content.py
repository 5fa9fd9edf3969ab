"""The bytes of a file from outside: whatever lies there, reading it ends, and stays within a limit."""

import os
import stat
from pathlib import Path

from wmsd_core.frames.refusal import Refusal

MOST_BYTES = 2**30
"""No registered file is larger: `FramesConfig.max_bytes` cannot be."""


def read(path: Path, max_bytes: int) -> bytes:
    """The content of a regular file of at most `max_bytes`.

    Raises:
        Refusal: not_a_file (a folder, pipe, socket or device), unreadable, or too_large.
    """
    try:
        # Without O_NONBLOCK, opening a pipe that nobody writes to never returns. A look at its kind before opening it would
        # not help: the file may be replaced in between.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise Refusal("not_a_file", "a folder, pipe, socket or device, not a file")
            if status.st_size > max_bytes:
                raise Refusal("too_large", f"{status.st_size} bytes, the limit is {max_bytes}")
            return file.read(max_bytes)
    except IsADirectoryError as error:
        raise Refusal("not_a_file", "a folder, not a file") from error
    except OSError as error:
        raise Refusal("unreadable", str(error)) from error
