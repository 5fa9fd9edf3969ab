"""A registered frame: what the store knows about one image file."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb


@dataclass(frozen=True)
class Frame:
    """One image: its identity, where it lies, and what its header said (pixels, as displayed)."""

    frame_id: str
    path: Path
    format: str
    width: int
    height: int


def find(con: duckdb.DuckDBPyConnection, frame_ids: Sequence[str]) -> list[Frame]:
    """The frames of these ids, in order of id; unknown ids are left out."""
    rows = con.execute(
        """
        SELECT frame_id, path, format, width, height FROM frames
        WHERE frame_id IN (SELECT unnest($ids)) ORDER BY frame_id
        """,
        {"ids": list(frame_ids)},
    ).fetchall()
    return [Frame(frame_id, Path(path), format_, width, height) for frame_id, path, format_, width, height in rows]
