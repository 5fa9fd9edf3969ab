"""Rows in and rows out. Whole queries live with what they are about (`bench`, `filters`, ...), as functions of a connection."""

from collections.abc import Mapping, Sequence
from typing import Any

import duckdb


def insert(
    con: duckdb.DuckDBPyConnection, table: str, rows: Sequence[Mapping[str, Any]], *, replace: bool = False
) -> int:
    """Inserts rows of equal keys in one statement; a row whose identity exists is left alone, or replaced if asked.

    Returns the number of rows given. Column names come from the code, values are bound.
    """
    if not rows:
        return 0
    columns = list(rows[0])
    verb = "INSERT OR REPLACE" if replace else "INSERT OR IGNORE"
    one = "(" + ", ".join("?" * len(columns)) + ")"
    for start in range(0, len(rows), 500):  # one prepared statement of many rows: executemany costs one round trip each
        part = rows[start : start + 500]
        values = [row[column] for row in part for column in columns]
        con.execute(f"{verb} INTO {table} ({', '.join(columns)}) VALUES {', '.join([one] * len(part))}", values)
    return len(rows)


def query(con: duckdb.DuckDBPyConnection, sql: str, parameters: Sequence[Any] = ()) -> list[dict[str, Any]]:
    """The result of a query as a list of mappings from column name to value."""
    result = con.execute(sql, list(parameters))
    names = [column[0] for column in result.description or ()]
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]
