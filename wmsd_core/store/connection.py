"""Opening the store: short connections, one writer, a clear error for each way in which it can fail."""

import random
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import duckdb

from wmsd_core.store import place, schema, undo
from wmsd_core.store.attached import attach, detach, taken

PATIENCE = 180.0
"""Seconds to wait for another process to close the file before giving up: several workers may stand in line."""

_migrated: set[tuple[str, int]] = set()  # (path, inode) of the stores that this process has seen at the newest version
_writer = threading.RLock()


class StoreError(ValueError):
    """The store cannot be used as it is; the message says why and what to do."""


@contextmanager
def writing(path: Path, patience: float | None = None) -> Generator[duckdb.DuckDBPyConnection]:
    """A read-write connection in one transaction: committed at the end, rolled back if the block raises.

    Creates and migrates the store. Keep the block short: nobody else can open the file meanwhile. Waits `patience` seconds
    for another process to close it (None: `PATIENCE`).

    Raises:
        StoreError: the file is no store, is held by another process, or cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    store = path.resolve()
    with _writer:
        con = _open(path, read_only=False, patience=patience)
        try:
            kept = _keep(con, path)
        except BaseException:
            detach(con, store)
            raise
        try:
            if _identity(path) not in _migrated:
                schema.migrate(con)
                con.execute("BEGIN")
                place.settle(con, path)
                con.execute("COMMIT")
                _migrated.add(_identity(path))
            con.execute("BEGIN")
            yield con
            con.execute("COMMIT")
        except duckdb.Error as error:
            if _tells_damage(error):
                raise _damaged(path, error) from error
            if not isinstance(error, duckdb.IOException | duckdb.TransactionException | duckdb.FatalException):
                raise
            raise _unwritable(path, error) from error
        finally:
            detach(con, store)  # without a COMMIT this rolls back
            kept.close()
            undo.put_back(path)


@contextmanager
def reading(path: Path) -> Generator[duckdb.DuckDBPyConnection]:
    """A connection to look with.

    Raises:
        StoreError: there is no store at `path`, it is not one, or another process keeps it open.
    """
    if not path.is_file():
        raise StoreError(f"there is no store at {path}; run an earlier stage first, or check the workspace's name")
    store = path.resolve()
    with _writer:
        con = _open(path, read_only=True)
        try:
            found = schema.version_of(con)
            if found != schema.VERSION:
                raise StoreError(
                    f"the store {path} has schema version {found}, this program needs {schema.VERSION}; "
                    "any stage that writes brings an older one up to date"
                )
            yield con
        except duckdb.Error as error:
            if _tells_damage(error) or isinstance(error, duckdb.IOException | duckdb.FatalException):
                raise _damaged(path, error) from error
            raise
        finally:
            detach(con, store)


def _keep(con: duckdb.DuckDBPyConnection, path: Path) -> BinaryIO:
    try:
        return undo.keep(con, path)
    except OSError as error:
        raise _unwritable(path, error) from error


def _unwritable(path: Path, error: Exception) -> StoreError:
    return StoreError(
        f"cannot write the store {path}: {_first_line(error)}. What was stored before is kept: run the same command "
        "again once this is mended"
    )


def _tells_damage(error: duckdb.Error) -> bool:
    """Whether a file was cut off or overwritten, which may show only when that part is read. A checksum that does not hold
    is an error without a class of its own."""
    if isinstance(error, duckdb.InternalException | duckdb.SerializationException):
        return True
    return any(words in str(error) for words in ("Could not read", "Corrupt database"))


def _damaged(path: Path, error: Exception) -> StoreError:
    return StoreError(
        f"the store {path} is damaged: {_first_line(error)}. Restore it from a backup, or move it away (images and videos are "
        "separate files) and run the pipeline again"
    )


def _open(path: Path, *, read_only: bool, patience: float | None = None) -> duckdb.DuckDBPyConnection:
    deadline = time.monotonic() + (PATIENCE if patience is None else patience)
    if "?" in str(path):
        raise StoreError(f"{path}: DuckDB takes what follows a question mark for no part of a name; use another folder")
    if taken(path.resolve(), read_only=read_only):
        # What is kept against kills would be put back under it, and its lock given up.
        raise RuntimeError(f"{path} is open here already: hand its connection on")
    while True:
        undo.put_back(path)  # of a process that was killed
        try:
            return attach(path.resolve(), read_only=read_only)
        except duckdb.IOException as error:
            held = "lock" in str(error).lower()
            if not held and _begins(path) == b"SQLite":
                raise StoreError(f"{path} is a SQLite file and no store; move it away and run again") from error
            if not held:
                raise StoreError(
                    f"{path} cannot be opened as a DuckDB store: {_first_line(error)}. If it is damaged, move it away "
                    "(images and videos are separate files) and run the pipeline again"
                ) from error
            if time.monotonic() > deadline:
                raise StoreError(f"another process keeps {path} open; close it and run again") from error
            time.sleep(random.uniform(0.005, 0.05))  # not in step with whoever else waits
        except duckdb.Error as error:
            raise StoreError(
                f"{path} is not a usable store: {_first_line(error)}. Move it away and run again"
            ) from error


def _begins(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(6)


def _identity(path: Path) -> tuple[str, int]:
    return str(path.resolve()), path.stat().st_ino


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]
