"""Which frames are left after which stage: registered frames less the rejections of every stage up to it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import xor
from typing import Any, Literal

import duckdb

from wmsd_core.store.rows import given

Stage = Literal["frames", "filter", "dedup", "rank", "screen", "generate"]
STAGES: tuple[Stage, ...] = ("frames", "filter", "dedup", "rank", "screen", "generate")

LAST = "\U0010ffff"
"""After every id."""
SURVIVORS = """
    SELECT frame_id FROM frames
    WHERE frame_id BETWEEN $first AND $last AND ($source IS NULL OR source = $source)
      AND frame_id NOT IN (
        SELECT item FROM rejections WHERE list_contains($stages, stage) AND item BETWEEN $first AND $last
      )
"""


def survivors(
    con: duckdb.DuckDBPyConnection,
    after: Stage | None,
    source: str | None = None,
    *,
    first: str = "",
    last: str = LAST,
) -> list[str]:
    """Frame ids that no stage up to and including `after` rejected, in order of id; of one source folder if given.

    None: all registered frames, also those that turned out to be damaged when they were decoded. `first` and `last` limit
    the ids, both included.
    """
    parameters = {"source": source, "stages": up_to(after), "first": first, "last": last}
    return [row[0] for row in con.execute(f"{SURVIVORS} ORDER BY frame_id", parameters).fetchall()]


def count(con: duckdb.DuckDBPyConnection, after: Stage | None) -> int:
    """How many frames are left after a stage."""
    parameters = {"source": None, "stages": up_to(after), "first": "", "last": LAST}
    return con.execute(f"SELECT count(*) FROM ({SURVIVORS})", parameters).fetchall()[0][0]


def members(con: duckdb.DuckDBPyConnection) -> dict[Stage, str]:
    """Digest of the frames that are left after each stage that another one follows: the same for the same set.

    That of all frames less those of the rejected ones, so that of a million only what was turned down is gathered by item: by
    its hash, which the digest is made of anyhow, and an eighth of what an id takes. What `frames` turns down may be files that
    never were a frame; the others turn down frames, and `generate`, the last, pairs too.
    """
    stages = STAGES[:-1]
    rows = con.execute(
        """
        SELECT first, count(*), bit_xor(item) FROM (
            SELECT item, min(first) AS first FROM (
                SELECT hash(frame_id) AS item, 0 AS first FROM frames
                WHERE frame_id IN (SELECT item FROM rejections WHERE stage = 'frames')
                UNION ALL SELECT hash(item), list_position($stages, stage) - 1 FROM rejections
                WHERE list_contains($stages[2:], stage)
            ) GROUP BY item
        ) GROUP BY first
        UNION ALL SELECT NULL, count(*), bit_xor(hash(frame_id)) FROM frames
        """,
        {"stages": list(stages)},
    ).fetchall()
    found = dict[Stage, str]()
    for number, stage in enumerate(stages):
        gone = [row for row in rows if row[0] is not None and row[0] <= number]
        every = [row for row in rows if row[0] is None]
        left = sum(row[1] for row in every) - sum(row[1] for row in gone)
        found[stage] = f"{left}-{reduce(xor, (row[2] or 0 for row in [*every, *gone]), 0):016x}"
    return found


def before(stage: str) -> Stage | None:
    """The stage whose survivors a data stage is given; None for all else."""
    return STAGES[STAGES.index(stage) - 1] if stage in STAGES[1:] else None


@dataclass(frozen=True)
class Bucket:
    """The survivors whose ids begin alike: their first and last id, their number, and a digest of them all."""

    first: str
    last: str
    frames: int
    digest: int


def buckets(con: duckdb.DuckDBPyConnection, after: Stage | None, digits: int = 3) -> list[Bucket]:
    """The survivors of `after` by the first digits of their ids, in order: 16 ^ digits buckets at most, however many frames.

    The digest is the exclusive or of the ids' MD5s: the same for the same set, in whatever order it is read, and no list
    of ids is ever held.
    """
    rows = con.execute(
        f"""
        SELECT min(frame_id), max(frame_id), count(*), bit_xor(md5_number(frame_id))
        FROM ({SURVIVORS}) GROUP BY left(frame_id, $digits) ORDER BY 1
        """,
        {"source": None, "stages": up_to(after), "first": "", "last": LAST, "digits": digits},
    ).fetchall()
    return [Bucket(*row) for row in rows]


def lacking(
    con: duckdb.DuckDBPyConnection, after: Stage | None, done: str, digits: int = 3, **parameters: object
) -> dict[str, int]:
    """How the ids begin of readable survivors of `after` that `done` does not list, and how many: work left, or lost.

    `done` is SQL for one column of frame ids, with named parameters. A frame that could not be decoded lacks nothing.
    """
    rows = con.execute(
        f"SELECT left(frame_id, $digits), count(*) FROM ({SURVIVORS}) WHERE frame_id NOT IN ({done}) GROUP BY ALL",
        {
            **{"source": None, "stages": up_to(after or "frames"), "first": "", "last": LAST, "digits": digits},
            **parameters,
        },
    ).fetchall()
    return dict(rows)


def up_to(stage: Stage | None) -> list[Stage]:
    """The stages whose rejections keep a frame from whatever comes after `stage`."""
    return list(STAGES[: STAGES.index(stage) + 1]) if stage else []


DROPPED = """
    SELECT rejections.* FROM rejections LEFT JOIN task_pairs ON item = pair_id
    WHERE stage = $stage AND ($stage = 'frames' OR coalesce(frame_id, item) IN (
        SELECT frame_id FROM frames WHERE frame_id NOT IN (SELECT item FROM rejections WHERE list_contains($before, stage))))
"""
"""What a stage turned down of the frames that reach it now, and of their pairs. Its other rejections are of a time when
earlier stages kept more, and wait for its next run."""


def dropped_at(stage: Stage) -> dict[str, object]:
    """The parameters of `DROPPED`."""
    return {"stage": stage, "before": list(STAGES[: STAGES.index(stage)])}


def reject(con: duckdb.DuckDBPyConnection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes single rejections, each in place of what the same stage said of the same item for the same reason."""
    if not rows:
        return
    with given(con, rows):
        con.execute("""
            DELETE FROM rejections USING given
            WHERE rejections.stage = given.stage AND rejections.item = given.item AND rejections.reason = given.reason
        """)
        con.execute("INSERT INTO rejections BY NAME SELECT DISTINCT ON (stage, item, reason) * FROM given")


def replace_rejections(
    con: duckdb.DuckDBPyConnection,
    stage: Stage,
    sql: str,
    parameters: dict[str, object],
    config_hash: str,
    keep: Sequence[str] = (),
) -> None:
    """Sets the rejections of a stage, but for reasons to `keep`, to the result of `sql`: columns item, reason, detail, path,
    in order of item, so that who reads a range of ids skips most of the table.

    Verdicts are recomputed from stored measurements, so a new threshold needs no image to be read.
    """
    con.execute(
        "DELETE FROM rejections WHERE stage = $stage AND NOT list_contains($keep, reason)",
        {"stage": stage, "keep": list(keep)},
    )
    con.execute(
        f"INSERT INTO rejections SELECT $stage, item, reason, detail, path, $config_hash FROM ({sql})",
        {"stage": stage, "config_hash": config_hash, **parameters},
    )
