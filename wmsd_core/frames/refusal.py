"""An image file that cannot be used, and the row that says so.

Everything that is wrong with a *file* lands in one place, the rejections of stage `frames`, whichever stage notices it:
a truncated file often has a good header, so the damage shows only when it is decoded.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import duckdb

from wmsd_core.frames.frame import Frame
from wmsd_core.store import insert

Result = TypeVar("Result")


class Refusal(ValueError):
    """A file that cannot be used: `reason` is a short code, `detail` a sentence with the figures."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


def attempt(function: Callable[[Frame], Result], frame: Frame) -> Result | Refusal:
    """`function(frame)`, or the refusal it raised as a value, so that one bad file does not end a batch."""
    try:
        return function(frame)
    except Refusal as refusal:
        return refusal


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
    insert(con, "rejections", rows, replace=True)
