"""An image file that cannot be used, and the row that says so.

Everything that is wrong with a *file* lands in one place, the rejections of stage `frames`, whichever stage notices it:
a truncated file often has a good header, so the damage shows only when it is decoded.
"""

import errno
import logging
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import duckdb

from wmsd_core.frames.frame import Frame
from wmsd_core.store.funnel import reject
from wmsd_core.unicode import storable, visible

Result = TypeVar("Result")

_OF_THE_MACHINE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.ENFILE, errno.EIO})
"""What an OSError says when the machine is at fault, and the next item would fare no better."""
_SHOWN = 1000
"""Characters of an exception's text that are kept: some repeat the file."""

_log = logging.getLogger(__name__)


class Refusal(ValueError):
    """A file that cannot be used: `reason` is a short code, `detail` a sentence with the figures."""

    def __init__(self, reason: str, detail: str) -> None:
        self.reason = reason
        self.detail = storable(detail)
        super().__init__(f"{reason}: {self.detail}")


def attempt(function: Callable[[Frame], Result], frame: Frame) -> Result | Refusal:
    """`function(frame)`, or why there is no result as a value, so that one bad file does not end a batch."""
    try:
        return function(frame)
    except Exception as error:
        return failed(error)


def failed(error: Exception) -> Refusal:
    """What an exception that came of one item says of that item. Call it where the exception is caught.

    Decoders and parsers raise nearly anything on what was made to break them. A fault of our own would look the same: it is
    counted as "failed", with its type, and the log has its traceback. A full disk is nobody's refusal and is raised again.
    """
    if isinstance(error, Refusal):
        return error
    if isinstance(error, OSError) and error.errno in _OF_THE_MACHINE:
        raise error
    trace = visible("".join(traceback.format_exception(error)))  # an exception's text may repeat what the item holds
    _log.warning("an item failed: %s\n%s", visible(repr(error))[:_SHOWN], trace)
    said = (
        error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    )  # without a number of the system's
    return Refusal("failed", f"{type(error).__name__}: {said[:_SHOWN]}")


def record(con: duckdb.DuckDBPyConnection, refused: Sequence[tuple[str, Path, Refusal]], config_hash: str) -> None:
    """Writes refusals as rejections of stage `frames`: (frame id, or path where none was given; path; refusal)."""
    rows = [
        {
            "stage": "frames",
            "item": item,
            "reason": refusal.reason,
            "detail": refusal.detail,
            "path": str(path),
            "config_hash": config_hash,
        }
        for item, path, refusal in refused
    ]
    reject(con, rows)
