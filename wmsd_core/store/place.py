"""Where a store lies, and the paths in it: they follow a workspace that was moved or copied.

The store records the folder that it was last used in. What lies in that folder is found from wherever it lies now; pictures
outside stay where they are, until their folder is moved too (`repoint`).
"""

from pathlib import Path

import duckdb

PATHS = (
    *(("frames", "path"), ("frames", "source"), ("frames", "video")),
    *(
        ("rejections", "item"),
        ("rejections", "path"),
        ("files", "item"),
        ("files", "path"),
        ("videos", "path"),
        ("training_runs", "folder"),
    ),
)
"""Every column that can hold a path."""


def settle(con: duckdb.DuckDBPyConnection, store: Path) -> None:
    """Re-points what lies in the workspace of `store` to where it lies now. A copy gets an id of its own: what is remembered
    of one of the two is not true of the other."""
    here = store.resolve().parent
    before = con.execute("SELECT root FROM workspace").fetchall()[0][0]
    if before == str(here):
        return
    if before is None:
        # Earlier programs wrote some paths from the folder in which they were started.
        for table, column, place in (("videos", "path", "videos"), ("training_runs", "folder", "training")):
            con.execute(
                f"UPDATE {table} SET {column} = ? || '/' || parse_filename({column}) WHERE NOT starts_with({column}, '/')",
                [str(here / place)],
            )
    else:
        repoint(con, Path(before), here)
        if (Path(before) / store.name).is_file():
            renew(con)
    con.execute("UPDATE workspace SET root = ?", [str(here)])


def repoint(con: duckdb.DuckDBPyConnection, old: Path, new: Path) -> int:
    """Writes the folder `new` in place of `old` in every path below it; returns how many there were."""
    count = 0
    for table, column in PATHS:
        mine = f"{column} = $old OR starts_with({column}, $old || '/')"
        count += con.execute(f"SELECT count(*) FROM {table} WHERE {mine}", {"old": str(old)}).fetchall()[0][0]
        con.execute(
            f"UPDATE {table} SET {column} = $new || {column}[length($old) + 1:] WHERE {mine}",
            {"old": str(old), "new": str(new)},
        )
    return count


def store_id(con: duckdb.DuckDBPyConnection) -> str:
    """The random id that a store was created with; a copy has another."""
    return con.execute("SELECT store_id FROM workspace").fetchall()[0][0]


def renew(con: duckdb.DuckDBPyConnection) -> None:
    """Gives the store another id: nothing that was remembered as done of the old one counts."""
    con.execute("UPDATE workspace SET store_id = uuid()::VARCHAR")
