"""The ledger: every input has one line in the table `files` that says what became of it, and why.

An input is a file that was found, or the line of a manifest or of an imported dataset. The frames of a video belong to the
line of the video.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import duckdb

from wmsd_core.store import insert

Fate = Literal["registered", "rejected", "ignored"]
FATES: tuple[str, ...] = get_args(Fate)


@dataclass(frozen=True)
class LedgerLine:
    """What became of one input."""

    item: str
    """Its path, or manifest and number."""
    path: str
    fate: Fate
    reason: str = ""
    """A short code; that of a registered file says what was wrong with it and cost it nothing."""
    detail: str = ""
    frame_id: str = ""
    """The content that it stands for, where it is registered or a duplicate; empty for a video."""


def write(con: duckdb.DuckDBPyConnection, lines: Sequence[LedgerLine]) -> None:
    """Writes lines in place of what was known of the same inputs."""
    last = {line.item: vars(line) for line in lines}
    insert(con, "files", list(last.values()), replace=True)


def forget(con: duckdb.DuckDBPyConnection, manifest: str) -> None:
    """Deletes the lines of a manifest: they have no identity but their number, and may all have moved."""
    con.execute("DELETE FROM files WHERE starts_with(item, $name || ':')", {"name": manifest})


FINDINGS = """
    SELECT files.item, files.path,
           CASE WHEN found.reason IS NULL THEN files.fate ELSE 'rejected' END AS fate,
           coalesce(found.reason, files.reason) AS reason, coalesce(found.detail, files.detail) AS detail
    FROM files LEFT JOIN (
        SELECT item, min(reason) AS reason, min_by(detail, reason) AS detail
        FROM rejections WHERE stage = 'frames' GROUP BY item
    ) AS found ON files.fate = 'registered' AND files.frame_id = found.item
"""
"""The lines as they stand now: damage may show only when a file is decoded, and then counts for every input of that content."""


def tally(con: duckdb.DuckDBPyConnection) -> list[tuple[str, str, int]]:
    """(fate, reason, inputs), the most frequent first within each fate."""
    return con.execute(
        f"SELECT fate, reason, count(*) FROM ({FINDINGS}) GROUP BY ALL ORDER BY fate DESC, count(*) DESC, reason"
    ).fetchall()


def look(
    con: duckdb.DuckDBPyConnection, fate: str | None, reason: str | None, text: str | None, limit: int
) -> list[tuple[str, str, str, str]]:
    """(item, fate, reason, detail) of the lines with this fate, this reason and this text in their item, in order."""
    return con.execute(
        f"""
        SELECT item, fate, reason, detail FROM ({FINDINGS})
        WHERE ($fate IS NULL OR fate = $fate) AND ($reason IS NULL OR reason = $reason)
          AND ($text IS NULL OR contains(item, $text))
        ORDER BY item LIMIT $limit
        """,
        {"fate": fate, "reason": reason, "text": text, "limit": limit},
    ).fetchall()
