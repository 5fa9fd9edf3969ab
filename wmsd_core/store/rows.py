"""Rows in and rows out. Whole queries live with what they are about (`bench`, `filters`, ...), as functions of a connection."""

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from types import NoneType
from typing import Any

import duckdb

from wmsd_core.unicode import all_storable, storable


def insert(
    con: duckdb.DuckDBPyConnection, table: str, rows: Sequence[Mapping[str, Any]], *, replace: bool = False
) -> int:
    """Inserts rows of equal keys in one statement; a row whose identity exists is left alone, or replaced if asked.

    Returns the number of rows given. Column names come from the code. The values go over as one Arrow table, without a
    copy or a parser: several times as fast as bound parameters, which DuckDB plans one by one.
    """
    if not rows:
        return 0
    columns = ", ".join(rows[0])
    verb = "INSERT OR REPLACE" if replace else "INSERT OR IGNORE"
    if len(rows) == 1 and all(isinstance(value, _PLAIN) for value in rows[0].values()):
        # Arrow, and pandas with it, would take longer to load than all else that a new threshold does.
        values = [storable(value) if isinstance(value, str) else value for value in rows[0].values()]
        con.execute(f"{verb} INTO {table} ({columns}) VALUES ({', '.join('?' * len(values))})", values)
        return 1
    with given(con, rows):
        con.execute(f"{verb} INTO {table} ({columns}) SELECT {columns} FROM given")
    return len(rows)


_PLAIN = (str, int, float, datetime, NoneType)


@contextmanager
def given(con: duckdb.DuckDBPyConnection, rows: Sequence[Mapping[str, Any]]) -> Generator[None]:
    """Rows of equal keys as the table `given`."""
    con.register("given", _table(rows))
    try:
        yield
    finally:
        con.unregister("given")


def _table(rows: Sequence[Mapping[str, Any]]) -> Any:
    import pyarrow as pa  # here: it takes a sixth of a second to load, and `wmsd settings` writes no row

    try:
        return pa.Table.from_pylist(list(rows))
    except UnicodeEncodeError:  # rare, and a look at every text would cost all others
        return pa.Table.from_pylist([all_storable(dict(row)) for row in rows])


def unseen(con: duckdb.DuckDBPyConnection, items: Sequence[str], table: str, **made_by: str) -> list[str]:
    """Those of `items` that have no row in `table` with these columns, in order: the work that is left.

    Reads the rows between the least and the greatest item only, so a shard of a large store costs no full scan.
    """
    if not items:
        return []
    same = "".join(f" AND {column} = ${column}" for column in made_by)
    rows = con.execute(
        f"""
        SELECT item FROM (SELECT unnest($items) AS item)
        WHERE item NOT IN (SELECT frame_id FROM {table} WHERE frame_id BETWEEN $first AND $last{same})
        ORDER BY item
        """,
        {"items": list(items), "first": min(items), "last": max(items), **made_by},
    ).fetchall()
    return [row[0] for row in rows]


def query(
    con: duckdb.DuckDBPyConnection, sql: str, parameters: Sequence[Any] | Mapping[str, Any] = ()
) -> list[dict[str, Any]]:
    """The result of a query as a list of mappings from column name to value."""
    result = con.execute(sql, dict(parameters) if isinstance(parameters, Mapping) else list(parameters))
    names = [column[0] for column in result.description or ()]
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]
