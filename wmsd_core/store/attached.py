"""A store's file, attached to a DuckDB of this process for as long as it is used.

To make a DuckDB takes 14 ms of CPU time, to attach a file to one that is there takes 3, and a stage opens its store a dozen
times. Detached, the file is closed, and its lock given up.
"""

import os
from collections import Counter
from pathlib import Path

import duckdb

SEALED: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "allow_community_extensions": False,
}
"""DuckDB gets no code from the network, nor loads any for a file that says it needs it: a SQLite file as store would."""
NAME = "store"
"""Of the file among the databases of the connection, which is the one that tables are looked for in."""

_RESET = "RESET memory_limit; RESET threads; RESET preserve_insertion_order"
"""What a connection may have bounded itself by, which DuckDB keeps for all."""

_databases: dict[tuple[int, str], duckdb.DuckDBPyConnection] = {}
"""By process (a forked one must not use its parent's) and store. When it is not in use, it is the next store's."""
_uses = Counter[tuple[int, str]]()
_read_only: dict[tuple[int, str], bool] = {}
"""How a store that is in use is attached."""


def taken(path: Path, *, read_only: bool) -> bool:
    """Whether this process has the file at `path` (absolute) open already, unless both uses are for reading."""
    store = (os.getpid(), str(path))
    return bool(_uses[store]) and not (read_only and _read_only[store])


def attach(path: Path, *, read_only: bool) -> duckdb.DuckDBPyConnection:
    """A connection to the file at `path` (absolute), which is created if it may be written. Give it to `detach` in the end.

    Ask first whether it is `taken`.

    Raises:
        duckdb.Error: it cannot be opened.
    """
    store = (os.getpid(), str(path))
    if store not in _databases:
        _databases[store] = _database(store)
    con = _databases[store].cursor()
    try:
        if not _uses[store]:
            name = store[1].replace("'", "''")
            con.execute(f"ATTACH '{name}' AS {NAME} (TYPE duckdb{', READ_ONLY' if read_only else ''})")
            _read_only[store] = read_only
        con.execute(f"USE {NAME}")
    except BaseException:
        con.close()
        raise
    _uses[store] += 1
    return con


def detach(con: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Closes a connection, which rolls back what it did not commit, and the file, unless another one uses it."""
    store = (os.getpid(), str(path))
    con.close()
    _uses[store] -= 1
    if _uses[store]:
        return
    try:
        _databases[store].execute(f"{_RESET}; DETACH {NAME}")
    except duckdb.Error:  # a full disk, a file that is damaged: what was committed is in the log beside it
        _forget(store)


def _database(store: tuple[int, str]) -> duckdb.DuckDBPyConnection:
    """A DuckDB for a store: that of another one if nobody uses it, unless it has put something on that one's disk."""
    spill = f"{store[1]}.tmp"
    for idle in [other for other in _databases if other[0] == store[0] and not _uses[other]]:
        try:
            _databases[idle].execute("SET temp_directory = ?", [spill])
        except duckdb.Error:
            _forget(idle)
        else:
            return _databases.pop(idle)
    return duckdb.connect(config={**SEALED, "temp_directory": spill})


def _forget(store: tuple[int, str]) -> None:
    """Ends a DuckDB, and with it whatever it had open."""
    _databases.pop(store).close()
    del _uses[store]
