"""Which frames are left after which stage: registered frames less the rejections of every stage up to it."""

from typing import Literal

import duckdb

Stage = Literal["frames", "filter", "rank", "screen", "generate"]
STAGES: tuple[Stage, ...] = ("frames", "filter", "rank", "screen", "generate")


def survivors(con: duckdb.DuckDBPyConnection, after: Stage | None, source: str | None = None) -> list[str]:
    """Frame ids that no stage up to and including `after` rejected, in order of id; of one source folder if given.

    None: all registered frames, also those that turned out to be damaged when they were decoded.
    """
    stages = list(STAGES[: STAGES.index(after) + 1]) if after else []
    rows = con.execute(
        """
        SELECT frame_id FROM frames
        WHERE ($source IS NULL OR source = $source)
          AND frame_id NOT IN (SELECT item FROM rejections WHERE list_contains($stages, stage))
        ORDER BY frame_id
        """,
        {"source": source, "stages": stages},
    ).fetchall()
    return [row[0] for row in rows]


def replace_rejections(
    con: duckdb.DuckDBPyConnection, stage: Stage, sql: str, parameters: dict[str, object], config_hash: str
) -> None:
    """Sets the rejections of a stage to the result of `sql`: columns item, reason, detail, path.

    Verdicts are recomputed as a whole, from stored measurements, so a new threshold needs no image to be read.
    """
    con.execute("DELETE FROM rejections WHERE stage = $stage", {"stage": stage})
    con.execute(
        f"INSERT INTO rejections SELECT $stage, item, reason, detail, path, $config_hash FROM ({sql})",
        {"stage": stage, "config_hash": config_hash, **parameters},
    )
