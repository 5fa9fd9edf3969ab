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
from wmsd_core.frames.entry import Entry, Found, Refused
from wmsd_core.frames.refusal import Refusal

SUFFIXES = frozenset({".jsonl", ".parquet"})
LONGEST = 1 << 20
"""Bytes of a line; a longer one is no line of a manifest, and would only fill the memory."""


@dataclass(frozen=True)
class Manifest:
    """A list of images and videos; it may name a source and a licence for each."""

    path: Path

    @property
    def name(self) -> str:
        return str(self.path)

    def found(self) -> Iterator[Found]:
        """An entry for each line whose file is there.

        Raises:
            ValueError: the manifest cannot be read, or is Parquet without a column path.
        """
        rows = _parquet(self.path) if self.path.suffix.lower() == ".parquet" else _json_lines(self.path)
        for number, row in enumerate(rows, start=1):
            source = self.name
            try:
                source = _string(row, "source") or self.name
                yield Entry(
                    self._file(_string(row, "path")), source, _string(row, "licence") or _string(row, "license")
                )
            except ValueError as error:
                reason = error.reason if isinstance(error, Refusal) else "incomplete"
                detail = f"line {number}: {error.detail if isinstance(error, Refusal) else error}"
                yield Refused(f"{self.path}:{number}", self.path, source, Refusal(reason, detail))

    def _file(self, text: str) -> Path:
        if not text:
            raise ValueError("it has no path")
        path = self.path.parent / text
        try:
            real = path.resolve(strict=True)
        except (OSError, RuntimeError, ValueError) as error:
            raise ValueError(f"{text} is not there") from error
        if not real.is_relative_to(self.path.parent):
            raise Refusal("outside", f"{text} is not below the manifest's folder; move the manifest above its images")
        return path


def _string(row: object, column: str) -> str:
    """The text in a column of a line; empty if there is none."""
    if isinstance(row, Exception):
        raise ValueError(str(row))
    if not isinstance(row, dict):
        raise ValueError("it is no object with a path")
    value = row.get(column)
    if value is not None and not isinstance(value, str):
        raise ValueError(f"its {column} is no text")
    return value or ""


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
    import pyarrow as pa  # here, as it is slow to load and few need it
    import pyarrow.parquet as pq

    with _opened(path) as file:
        try:
            table = pq.ParquetFile(file)
            columns = [name for name in ("path", "licence", "license", "source") if name in table.schema_arrow.names]
            if "path" not in columns:
                raise ValueError(f"{path} has no column path; its columns are {', '.join(table.schema_arrow.names)}")
            for batch in table.iter_batches(1024, columns=columns):
                yield from batch.to_pylist()
        except (pa.ArrowException, OSError) as error:
            raise ValueError(f"{path} cannot be read as Parquet: {error}; write it again") from error


def _opened(path: Path) -> BufferedReader:
    try:
        return opened(path)
    except Refusal as refusal:
        raise ValueError(f"the manifest {path} cannot be read: {refusal.detail}") from refusal
