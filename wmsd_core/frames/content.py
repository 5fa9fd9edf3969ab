"""The bytes of a file from outside: whatever lies there, reading it ends, and stays within a limit."""

import os
import stat
from io import BufferedReader
from pathlib import Path

from wmsd_core.frames.refusal import Refusal

MOST_BYTES = 2**30
"""No registered file is larger: `FramesConfig.max_bytes` cannot be."""


def opened(path: Path) -> BufferedReader:
    """A regular file, open for reading.

    Raises:
        Refusal: not_a_file (a folder, pipe, socket or device), or unreadable.
    """
    try:
        # Without O_NONBLOCK, opening a pipe that nobody writes to never returns. A look at its kind before opening it would
        # not help: the file may be replaced in between.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise Refusal("unreadable", str(error)) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise Refusal("not_a_file", "a folder, pipe, socket or device, not a file")
    return os.fdopen(descriptor, "rb")


def read(path: Path, max_bytes: int) -> bytes:
    """The content of a regular file of at most `max_bytes`.

    Raises:
        Refusal: as `opened`, or too_large.
    """
    with opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > max_bytes:
            raise Refusal("too_large", f"{size} bytes, the limit is {max_bytes}")
        try:
            # Not max_bytes at once: room for them would be made first, and cost more than the reading.
            content = file.read(size)
            if grown := file.read(1):
                content += grown + file.read(max_bytes - size - 1)
            return content
        except OSError as error:
            raise Refusal("unreadable", str(error)) from error
