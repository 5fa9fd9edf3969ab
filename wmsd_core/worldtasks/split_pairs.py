"""The product of the data stages: task-solution pairs with their images, by split."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import duckdb


@dataclass(frozen=True)
class SplitPair:
    """One row to train on or to be examined with."""

    pair_id: str
    frame_id: str
    path: Path
    task: str
    solution: str


def split_pairs(con: duckdb.DuckDBPyConnection, split: Literal["train", "bench"]) -> list[SplitPair]:
    """The pairs of a split that no stage turned down, nor their frames, in order of frame id and position."""
    rows = con.execute(
        """
        SELECT p.pair_id, p.frame_id, f.path, p.task, p.solution
        FROM task_pairs p JOIN usable_pairs USING (pair_id) JOIN frames f USING (frame_id) JOIN splits s USING (frame_id)
        WHERE s.split = ? AND (s.examined IS NULL OR list_contains(s.examined, p.pair_id))
        ORDER BY p.frame_id, p.position
        """,
        [split],
    ).fetchall()
    return [
        SplitPair(pair_id, frame_id, Path(path), task, solution) for pair_id, frame_id, path, task, solution in rows
    ]
