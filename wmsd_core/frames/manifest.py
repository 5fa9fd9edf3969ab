"""Manifests: JSON lines or Parquet files with the columns path, licence (or license) and source.

A path is relative to the manifest and stays below its folder. A line that names no file is recorded as "incomplete".
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any

from wmsd_core.frames.content import opened
from wmsd_core.frames.entry import Entry, Found, RefusedInput, stored_path
from wmsd_core.frames.names import existing
from wmsd_core.frames.refusal import Refusal, failed
from wmsd_core.unicode import storable

SUFFIXES = frozenset({".jsonl", ".parquet"})
LONGEST = 1 << 20
"""Bytes of a line; a longer one is no line of a manifest, and would only fill the memory."""
_SHOWN = 300
"""Characters of a path that is not there: one may be as long as a line."""


@dataclass(frozen=True)
class Manifest:
    """A list of images and videos; it may name a source and a licence for each."""

    path: Path

    @property
    def name(self) -> str:
        return str(self.path)

    def found(self) -> Iterator[Found]:
        """An entry for each line whose file is there, and what is wrong with each other line.

        Raises:
            ValueError: the manifest cannot be read, or is Parquet without a column path.
        """
        rows = _parquet(self.path) if self.path.suffix.lower() == ".parquet" else _json_lines(self.path)
        for number, row in enumerate(rows, start=1):
            line = f"{stored_path(self.path)}:{number}"
            try:
                yield self._entry(line, row)
            except Exception as error:
                refusal = error if isinstance(error, Refusal) else failed(error)
                detail = f"line {number}: {refusal.detail}"
                yield RefusedInput(line, self.path, self.name, Refusal(refusal.reason, detail))

    def _entry(self, line: str, row: object) -> Entry:
        """What a line says. A value that is no text and could be missing is left out, and that is noted."""
        if isinstance(row, Exception):
            raise Refusal("incomplete", str(row))
        if not isinstance(row, dict):
            raise Refusal("incomplete", "it is no object with a path")
        path = row.get("path")
        if path is not None and not isinstance(path, str):
            raise Refusal("incomplete", "its path is no text")
        told = {name: row.get(name) for name in ("source", "licence", "license")}
        notes = [f"its {name} is no text and was left out" for name, value in told.items() if not _is_text(value)]
        source, licence, license_ = (storable(text) if isinstance(text, str) else "" for text in told.values())
        return Entry(
            self._file(path or ""),
            source or self.name,
            licence or license_,
            line=line,
            names_source=bool(source),
            note="; ".join(notes),
        )

    def _file(self, text: str) -> Path:
        if not text:
            raise Refusal("incomplete", "it has no path")
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


def _is_text(value: object) -> bool:
    return value is None or isinstance(value, str)


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


def _parquet(path: Path) -> Iterator[Any]:
    """Each row, or the error that it caused; what cannot be read any more ends its group of rows with one error."""
    import pyarrow as pa  # here, as it is slow to load and few need it
    import pyarrow.parquet as pq

    with _opened(path) as file:
        try:
            table = pq.ParquetFile(file)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise ValueError(f"{path} cannot be read as Parquet: {error}; write it again") from error
        names = table.schema_arrow.names
        columns = [name for name in ("path", "licence", "license", "source") if name in names]
        if "path" not in columns:
            raise ValueError(f"{path} has no column path; its columns are {', '.join(names)}")
        for group in range(table.num_row_groups):
            try:
                for batch in table.iter_batches(1024, row_groups=[group], columns=columns):
                    yield from _rows({name: batch.column(name) for name in columns}, len(batch))
            except (pa.ArrowException, OSError) as error:
                yield ValueError(f"the rest of group {group} cannot be read: {error}")


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
