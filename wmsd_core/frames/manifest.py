"""Manifests: JSON lines, CSV or Parquet files with a column of paths, and perhaps licences and sources.

A path is relative to the manifest and stays below its folder; it may be an address, where the user has allowed that. A
line that names no file is recorded as "incomplete".
"""

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path, PurePosixPath
from typing import Any

from wmsd_core.frames import remote
from wmsd_core.frames.columns import USUAL, Columns, about
from wmsd_core.frames.content import opened
from wmsd_core.frames.entry import Afar, Entry, Listed, RefusedInput, stored_path
from wmsd_core.frames.names import existing
from wmsd_core.frames.refusal import Refusal, failed

SUFFIXES = frozenset({".jsonl", ".csv", ".tsv", ".parquet"})
LONGEST = 1 << 20
"""Bytes of a line; a longer one is no line of a manifest, and would only fill the memory."""
_SHOWN = 300
"""Characters of a path that is not there: one may be as long as a line."""


@dataclass(frozen=True)
class Manifest:
    """A list of images and videos; it may name a source and a licence for each."""

    path: Path
    columns: Columns = USUAL
    allow: tuple[str, ...] = ()
    """Beginnings of the addresses that it may name."""
    address: str = ""
    """Where it was fetched from; its paths are then relative to that."""

    @property
    def name(self) -> str:
        return self.address or str(self.path)

    def found(self) -> Iterator[Listed]:
        """An entry for each line whose file is there, and what is wrong with each other line.

        Raises:
            ValueError: the manifest cannot be read, or is a table without the column of paths.
        """
        for number, row in _rows_of(self.path, self.columns):
            line = f"{self.address or stored_path(self.path)}:{number}"
            try:
                yield self._entry(line, row)
            except Exception as error:
                refusal = error if isinstance(error, Refusal) else failed(error)
                detail = f"line {number}: {refusal.detail}"
                yield RefusedInput(line, self.path, self.name, Refusal(refusal.reason, detail))

    def _entry(self, line: str, row: object) -> Entry | Afar:
        """What a line says. A value that is no text and could be missing is left out, and that is noted."""
        if isinstance(row, Exception):
            raise Refusal("incomplete", str(row))
        if not isinstance(row, dict):
            raise Refusal("incomplete", "it is no object with a path")
        path = row.get(self.columns.path)
        if path is not None and not isinstance(path, str):
            raise Refusal("incomplete", "its path is no text")
        if not path:
            raise Refusal("incomplete", "it has no path")
        said = about(row, self.columns)
        what = said.source or self.name, said.licence
        if remote.is_address(path):
            return Afar(self._allowed(path), *what, line, bool(said.source), said.note)
        if self.address:
            return Afar(self._beside(path), *what, line, bool(said.source), said.note)
        return Entry(self._file(path), *what, line=line, names_source=bool(said.source), note=said.note)

    def _allowed(self, address: str) -> remote.Blob:
        if not remote.is_allowed(address, self.allow):
            raise Refusal(
                "outside",
                f"it names the address {address[:_SHOWN]}, which is not asked for unless its beginning is allowed: "
                "--set scan.fetch.allow=[BEGINNING]",
            )
        return remote.Blob(remote.checked_address(address), inner=True)

    def _beside(self, text: str) -> remote.Blob:
        """A path below the folder of a manifest that was fetched."""
        if text.startswith("/") or ".." in PurePosixPath(text).parts:
            raise Refusal("outside", f"{text[:_SHOWN]} is not below the manifest's folder")
        return remote.Blob(f"{self.address.rpartition('/')[0]}/{text}", inner=True)

    def _file(self, text: str) -> Path:
        path = existing(self.path.parent, text)
        try:
            real = path.resolve(strict=True) if path else None
        except (OSError, RuntimeError):  # RuntimeError: a loop of links, before Python 3.13
            real = None
        if path is None or real is None:
            raise Refusal("incomplete", f"{text[:_SHOWN]} is not there")
        if not real.is_relative_to(self.path.parent):
            raise Refusal("outside", f"{text} is not below the manifest's folder; move the manifest above its images")
        return path


def _rows_of(path: Path, columns: Columns) -> Iterator[tuple[int, Any]]:
    """Each line's number and value, or the error that it caused. Numbers count rows from 1; those of a table of text, where the
    first line names the columns, from 2."""
    match path.suffix.lower():
        case ".parquet":
            return enumerate(_parquet(path, columns), start=1)
        case ".csv" | ".tsv":
            return enumerate(_csv(path, columns), start=2)
        case _:
            return enumerate(_json_lines(path), start=1)


def _json_lines(path: Path) -> Iterator[Any]:
    """Each line's value, or the error that it caused; empty lines are None."""
    with _opened(path) as file:
        while line := file.readline(LONGEST):
            if len(line) == LONGEST and not line.endswith(b"\n"):
                while (rest := file.readline(LONGEST)) and not rest.endswith(b"\n"):
                    pass
                yield ValueError(f"it is longer than {LONGEST} bytes")
                continue
            try:
                yield json.loads(line)
            except (ValueError, RecursionError) as error:
                yield ValueError(f"it is no JSON: {error}")


def _csv(path: Path, columns: Columns) -> Iterator[Any]:
    """Each row as an object of texts, an empty cell being none."""
    with _opened(path) as file, io.TextIOWrapper(file, "utf-8-sig", errors="surrogateescape", newline="") as text:
        rows = csv.DictReader(text, delimiter="\t" if path.suffix.lower() == ".tsv" else ",")
        try:
            names = rows.fieldnames or ()
        except csv.Error as error:
            raise ValueError(f"{path} cannot be read as CSV: {error}; write it again") from error
        _require(path, columns, names)
        while True:
            try:
                row = next(rows)
            except StopIteration:
                return
            except csv.Error as error:
                yield ValueError(f"it is no CSV: {error}")
                continue
            yield {name: value or None for name, value in row.items()}


def _parquet(path: Path, columns: Columns) -> Iterator[Any]:
    """Each row, or the error that it caused; what cannot be read any more ends its group of rows with one error."""
    import pyarrow as pa  # here, as it is slow to load and few need it
    import pyarrow.parquet as pq

    with _opened(path) as file:
        try:
            table = pq.ParquetFile(file)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise ValueError(f"{path} cannot be read as Parquet: {error}; write it again") from error
        names = table.schema_arrow.names
        _require(path, columns, names)
        wanted = [columns.path, *columns.told(name for name in names if name != columns.path)]
        for group in range(table.num_row_groups):
            try:
                for batch in table.iter_batches(1024, row_groups=[group], columns=wanted):
                    yield from _rows({name: batch.column(name) for name in wanted}, len(batch))
            except (pa.ArrowException, OSError) as error:
                yield ValueError(f"the rest of group {group} cannot be read: {error}")


def _require(path: Path, columns: Columns, names: Any) -> None:
    if columns.path not in names:
        raise ValueError(
            f"{path} has no column {columns.path}; its columns are {', '.join(map(str, names))}: name the one with the "
            "files by --set scan.columns.path=NAME"
        )


def _rows(columns: dict[str, Any], count: int) -> Iterator[Any]:
    for index in range(count):
        row: dict[str, Any] = {}
        for name, values in columns.items():
            try:
                row[name] = values[index].as_py()
            except Exception as error:  # no UTF-8, no date, ...: whatever Python cannot hold
                row[name] = error
        yield row


def _opened(path: Path) -> BufferedReader:
    try:
        return opened(path)
    except Refusal as refusal:
        raise ValueError(f"the manifest {path} cannot be read: {refusal.detail}") from refusal
