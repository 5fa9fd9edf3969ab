"""Which of many signatures lie near one another: an exact search in bounded memory.

Sixteen orthonormal low frequencies of a signature (a cosine transform of its grey and opponent-colour planes) hold most of
how pictures differ. By Bessel's inequality two signatures are at least as far apart as these coordinates, so whatever the
coordinates rule out is ruled out exactly. Six of them name a cell of a grid whose cells are two radii wide: what is near a
signature lies in one of at most 64 cells. DuckDB joins by cell and by coordinates, and moves to disk what does not fit
into memory; the few candidates are compared byte by byte, in whole numbers.

Who searches copies signatures here first (`copy`), goes through them in blocks, asks what is near a block, and says which
of it later blocks are to be compared with (`add`).
"""

import tempfile
from collections.abc import Iterable, Iterator
from itertools import product
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from jaxtyping import Float32, Float64, Int64

from wmsd_core.frames.likeness import DIMENSIONS, SIDE, Signatures
from wmsd_core.store.attached import SEALED

BLOCK = 4096
"""Signatures that are held at once."""
MEMORY = "500MB"
"""Of the search; the rest of its tables lies in temporary files."""
_AXES = 16
_CELL_AXES = 6
_COMPARED = 8192

_NEAR = f"""
    SELECT q.row, k.place, k.levels
    FROM queries q JOIN ({{known}}) k
      ON q.cell = k.cell AND k.place < q.place
     AND array_distance(q.coordinates::FLOAT[{_AXES}], k.coordinates::FLOAT[{_AXES}]) <= {{reach}}
"""


class LookAlikes:
    """Signatures in order of preference, searched for those near later ones. Close it to remove its temporary files."""

    def __init__(self, radius: float) -> None:
        """`radius`: root mean square difference, in levels."""
        self._limit = radius**2 * DIMENSIONS
        self._reach = (
            radius * DIMENSIONS**0.5 + 0.1
        )  # coordinates are float32: never less than the true distance allows
        self._folder = tempfile.TemporaryDirectory(prefix="wmsd-look-alikes-")
        settings: dict[str, str | bool | int | float | list[str]] = {
            **SEALED,
            "memory_limit": MEMORY,
            "temp_directory": self._folder.name,
            "preserve_insertion_order": False,
        }
        self.con = duckdb.connect(config=settings)
        self.con.execute("CREATE TABLE copied (place BIGINT, frame_id VARCHAR, levels BLOB)")
        self.con.execute(f"CREATE TABLE known (place BIGINT, levels BLOB, coordinates FLOAT[{_AXES}], cell BIGINT)")

    def close(self) -> None:
        self.con.close()
        self._folder.cleanup()

    def copy(self, con: duckdb.DuckDBPyConnection, sql: str, parameters: dict[str, object]) -> int:
        """Copies the signatures that a query of a store selects as (place, frame_id, levels), places being 1, 2, ..., so that
        the store is open for a moment only. Returns how many there are.

        They may come in any order: the query joins levels to the places that it has found without them, as DuckDB holds twice,
        and moves none of it to disk, what passes through a window.
        """
        for part in con.sql(sql, params=parameters).to_arrow_reader(BLOCK):
            self.con.register("part", pa.Table.from_batches([part]))
            self.con.execute("INSERT INTO copied SELECT * FROM part")
            self.con.unregister("part")
        return self.con.execute("SELECT count(*) FROM copied").fetchall()[0][0]

    def blocks(self, first: int, last: int) -> Iterator[tuple[Int64[np.ndarray, " N"], Signatures]]:
        """(places, levels) of what was copied, from place `first` to `last` (included), a block at a time."""
        # Put in order here, where memory is limited and the store is closed: a block then lies in one piece.
        self.con.execute("CREATE OR REPLACE TABLE copied AS FROM copied ORDER BY place")
        for start in range(first, last + 1, BLOCK):
            rows = self.con.execute(
                "SELECT place, levels FROM copied WHERE place BETWEEN ? AND ? ORDER BY place",
                [start, min(start + BLOCK - 1, last)],
            ).fetchall()
            levels = np.frombuffer(b"".join(row[1] for row in rows), np.uint8).reshape(-1, DIMENSIONS)
            yield np.array([row[0] for row in rows]), levels

    def frames(self, places: Iterable[int]) -> dict[int, str]:
        """Place -> frame id of what was copied."""
        wanted = {"places": sorted(set(places))}
        sql = "SELECT place, frame_id FROM copied WHERE place IN (SELECT unnest($places))"
        return dict(self.con.execute(sql, wanted).fetchall())

    def near(
        self, places: Int64[np.ndarray, " N"], levels: Signatures, *, within: bool = True
    ) -> tuple[Int64[np.ndarray, " P"], Int64[np.ndarray, " P"], Float64[np.ndarray, " P"]]:
        """Every (row of this block, earlier place, distance in levels): among what was added, and `within` the block.

        `places` are ascending and greater than all that were added.
        """
        coordinates = levels.astype(np.float32) @ _BASIS
        rows, cells = self._touched(coordinates)
        queries = {"row": rows, "place": places[rows], "cell": cells, "coordinates": _fixed(coordinates[rows])}
        self.con.register("queries", pa.table(queries))
        self.con.register("block", self._table(places, levels, coordinates))
        known = "SELECT * FROM known UNION ALL SELECT * FROM block" if within else "SELECT * FROM known"
        found = list(self._compared(levels, known))
        self.con.unregister("queries")
        self.con.unregister("block")
        row, place, distance = (np.concatenate(part) for part in zip(*found, strict=True))
        return row, place, distance

    def add(self, places: Int64[np.ndarray, " N"], levels: Signatures) -> None:
        """Makes signatures known to later searches."""
        block = self._table(places, levels, levels.astype(np.float32) @ _BASIS)
        self.con.register("block", block)
        self.con.execute("INSERT INTO known SELECT * FROM block")
        self.con.unregister("block")

    def _compared(self, levels: Signatures, known: str) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        yield np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0)
        for candidates in self.con.sql(_NEAR.format(reach=self._reach, known=known)).to_arrow_reader(_COMPARED):
            row = candidates["row"].to_numpy()
            others = np.frombuffer(b"".join(candidates["levels"].to_pylist()), np.uint8).reshape(-1, DIMENSIONS)
            difference = levels[row].astype(np.int32) - others
            squared = np.einsum("pd,pd->p", difference, difference, dtype=np.int64)
            near = squared <= self._limit
            yield row[near], candidates["place"].to_numpy()[near], np.sqrt(squared[near] / DIMENSIONS)

    def _table(self, places: np.ndarray, levels: Signatures, coordinates: Float32[np.ndarray, "N 16"]) -> Any:
        cell = _number(np.floor(coordinates[:, :_CELL_AXES] / self._width).astype(np.int64))
        blobs = pa.array([row.tobytes() for row in levels], pa.binary())
        return pa.table({"place": places, "levels": blobs, "coordinates": _fixed(coordinates), "cell": cell})

    @property
    def _width(self) -> float:
        return max(2 * self._reach, 64.0)

    def _touched(self, coordinates: Float32[np.ndarray, "N 16"]) -> tuple[np.ndarray, np.ndarray]:
        """(row, cell) for every cell that a ball of the radius around each row touches: one or two along each axis."""
        low, high = (
            np.floor((coordinates[:, :_CELL_AXES] + side * self._reach) / self._width).astype(np.int64)
            for side in (-1, 1)
        )
        rows: list[np.ndarray] = []
        cells: list[np.ndarray] = []
        for corner in product((0, 1), repeat=_CELL_AXES):
            touched = np.flatnonzero(np.all((np.array(corner) == 0) | (high > low), axis=1))
            rows.append(touched)
            cells.append(_number(low[touched] + np.array(corner)))
        return np.concatenate(rows), np.concatenate(cells)


def _basis() -> Float32[np.ndarray, "768 16"]:
    """Orthonormal columns, what varies most in photographs first."""
    position = np.arange(SIDE)
    waves = [np.cos(np.pi * (2 * position + 1) * k / (2 * SIDE)) for k in range(4)]
    waves = [wave / np.linalg.norm(wave) for wave in waves]
    colours = [np.array(axis) / np.linalg.norm(axis) for axis in ((1, 1, 1), (1, 1, -2), (1, -1, 0))]
    terms = [(0, 0, 0), (0, 1, 0), (0, 0, 1), (1, 0, 0), (2, 0, 0), (0, 2, 0)]
    all_ = [(c, i, j) for c, order in enumerate((4, 2, 2)) for i in range(order) for j in range(order - i)]
    terms += [term for term in all_ if term not in terms]
    columns = [np.einsum("y,x,c->yxc", waves[i], waves[j], colours[c]).reshape(-1) for c, i, j in terms]
    return np.stack(columns, axis=1).astype(np.float32)


def _number(cell: Int64[np.ndarray, "N 4"]) -> Int64[np.ndarray, " N"]:
    """One integer per cell: 10 bits along each axis, enough for coordinates up to 7067 either way in cells of 64."""
    return ((cell + 512) << (10 * np.arange(_CELL_AXES))).sum(1)


def _fixed(coordinates: np.ndarray) -> Any:
    return pa.FixedSizeListArray.from_arrays(pa.array(np.ascontiguousarray(coordinates).reshape(-1)), _AXES)


_BASIS = _basis()
