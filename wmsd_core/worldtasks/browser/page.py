"""A folder with index.html and thumbnails/, opened as a file or over http.

The page holds all that is known as data, and makes elements of a hundred frames at a time. What a person marks on it stays
in the browser until it is saved as a file, which `wmsd tags` takes in.
"""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
from markupsafe import Markup

from wmsd_core.files import replacing
from wmsd_core.filters.measuring import MeasureConfig
from wmsd_core.filters.thresholds import Threshold, measured_by, thresholds
from wmsd_core.pages.environment import environment
from wmsd_core.pages.images import thumbnail_file
from wmsd_core.publication import refuse_other
from wmsd_core.store import query, reading
from wmsd_core.store.funnel import STAGES
from wmsd_core.store.place import store_id
from wmsd_core.worldtasks.members import labels

ASSETS = Path(__file__).parent / "assets"
SIGN = '<script id="frames" type="application/json">'
"""What every page of frames and pairs has, and no other page."""
ORDER = [*STAGES, "split"]
"""Stages as they turn frames down, one after the other."""


@dataclass(frozen=True)
class Written:
    """What `write_page` wrote."""

    path: Path
    frames: int
    pairs: int
    lost: int
    """Frames whose picture is gone, or cannot be decoded."""
    left_out: int
    """Frames beyond the limit."""


def write_page(store: Path, out: Path, measuring: MeasureConfig, limit: int) -> Written:
    """Writes the page of the store's frames, as they stand now. The store is only read.

    Args:
        out: folder; what is in it under other names stays. Thumbnails that are there are not made again.
        measuring: whose measurements are shown.
        limit: most frames that are shown; of more, those of the smallest ids, which are a random draw.

    Raises:
        ValueError: there is no frame yet; or the folder has an index.html of something else.
        StoreError: there is no store.
    """
    refuse_other(out / "index.html", SIGN)
    acting = [t for t in thresholds(measuring.extra) if t.measured]
    with reading(store) as con:
        total = con.execute("SELECT count(*) FROM frames").fetchall()[0][0]
        if not total:
            raise ValueError("there is no frame in the store yet; run `wmsd filter --frames` on some pictures first")
        labels(con)
        con.execute(f"CREATE TEMP TABLE shown AS SELECT * FROM frames ORDER BY frame_id LIMIT {limit}")
        frames = _frames(con, acting, measuring)
        pairs = _pairs(con)
        shown = {"store": store_id(con), "frames": frames, "tags": query(con, "SELECT * FROM tags ORDER BY item")}
    paths = [Path(frame["path"]) for frame in frames]
    (out / "thumbnails").mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor() as pool:  # decoding lets go of the interpreter
        names = list(pool.map(lambda f, path: thumbnail_file(path, out / "thumbnails", f["id"][:32]), frames, paths))
    for frame, name in zip(frames, names, strict=True):
        frame["picture"] = name and f"thumbnails/{name}"
        frame["pairs"] = pairs.get(frame["id"], [])
    made: Any = environment(ASSETS, "browser.css")
    text = made.get_template("index.html.j2").render(
        total=total,
        data=shown,
        script=Markup((ASSETS / "browser.js").read_text(encoding="utf-8")),
    )
    with replacing(out / "index.html") as partial:
        partial.write_text(text, encoding="utf-8")
    return Written(
        path=out / "index.html",
        frames=len(frames),
        pairs=sum(map(len, pairs.values())),
        lost=names.count(None),
        left_out=total - len(frames),
    )


_FATES = """
    SELECT item, stage, list(reason ORDER BY reason) AS reasons, list(detail ORDER BY reason) AS details
    FROM (
        SELECT *, rank() OVER (PARTITION BY item ORDER BY list_position($order, stage)) AS place
        FROM rejections WHERE list_contains($order, stage)
    ) WHERE place = 1 GROUP BY item, stage
"""
"""SQL: the first stage that turned each item down, and why. What later ones say is of a time when it kept more."""


def _frames(
    con: duckdb.DuckDBPyConnection, acting: Iterable[Threshold], measuring: MeasureConfig
) -> list[dict[str, Any]]:
    """Frames with what became of them, their split, what was measured, scored and answered."""
    columns = {t.name: t.column for t in acting}
    rows = query(
        con,
        f"""
        SELECT shown.frame_id AS id, path, source, video, moment, width, height, fates.stage, reasons, details,
               split, {", ".join(f'{column} AS "{name}"' for name, column in columns.items())},
               (SELECT list({{'name': scorer, 'value': score}} ORDER BY scorer) FROM aesthetics a
                WHERE a.frame_id = shown.frame_id) AS scores,
               (SELECT list({{'name': 'an agent can act, says ' || model, 'value': log_odds}} ORDER BY model)
                FROM screenings s WHERE s.frame_id = shown.frame_id) AS answers
        FROM shown
        LEFT JOIN measurements m ON m.frame_id = shown.frame_id AND m.config_hash = $measuring
        LEFT JOIN ({_FATES}) fates ON fates.item = shown.frame_id
        LEFT JOIN splits ON splits.frame_id = shown.frame_id
        ORDER BY shown.frame_id
        """,
        {**measured_by(measuring), "order": ORDER},
    )
    return [
        {
            "id": row["id"],
            "path": row["path"],
            "source": row["source"],
            "video": row["video"] and f"{row['video']} at {row['moment'] or 0:.2f} s",
            "size": f"{row['width']} x {row['height']}",
            "stage": row["stage"] or "",
            "fates": _fates(row),
            "split": row["split"] or "",
            "figures": [
                [name, round(value, 4)]
                for name, value in [
                    *((name, row[name]) for name in columns),
                    *((told["name"], told["value"]) for told in [*(row["scores"] or []), *(row["answers"] or [])]),
                ]
                if value is not None
            ],
        }
        for row in rows
    ]


def _fates(row: dict[str, Any]) -> list[list[str]]:
    """[reason, detail] of each rejection."""
    return [list(told) for told in zip(row["reasons"] or [], row["details"] or [], strict=True)]


def _pairs(con: duckdb.DuckDBPyConnection) -> dict[str, list[dict[str, Any]]]:
    """Frame -> its pairs, as they were written; those that were not usable have no id, and cannot be tagged."""
    rows = query(
        con,
        f"""
        SELECT frame_id, position, pair_id AS id, task, solution, agent_type, task_type, reasons, details
        FROM task_pairs SEMI JOIN shown USING (frame_id)
        LEFT JOIN labels USING (pair_id)
        LEFT JOIN ({_FATES}) fates ON fates.item = pair_id
        UNION ALL
        SELECT frame_id, position, '', task, solution, NULL, NULL, [reason], [detail]
        FROM rejected_pairs SEMI JOIN shown USING (frame_id)
        ORDER BY frame_id, position, id
        """,
        {"order": ORDER},
    )
    found = dict[str, list[dict[str, Any]]]()
    for row in rows:
        found.setdefault(row["frame_id"], []).append(
            {
                "id": row["id"],
                "task": row["task"],
                "solution": row["solution"],
                "agent": row["agent_type"] or "",
                "kind": row["task_type"] or "",
                "fates": _fates(row),
            }
        )
    return found
