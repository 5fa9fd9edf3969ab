"""A page to choose thresholds by: the distribution of every measurement, and pictures on either side of each threshold.

Reads stored measurements, whatever verdicts are stored, and decodes only the pictures that it shows. It loads nothing
from anywhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import duckdb

from wmsd_core.files import replacing
from wmsd_core.filters.measuring import MeasureConfig
from wmsd_core.filters.thresholds import USABLE, Threshold, measured_by, thresholds
from wmsd_core.filters.verdict import FilterConfig
from wmsd_core.pages import charts
from wmsd_core.pages.charts import Chart
from wmsd_core.pages.environment import environment
from wmsd_core.pages.images import thumbnail
from wmsd_core.store import query, reading

BESIDE, TILES = 6, 20
"""Pictures on each side of a threshold, and of each group in the mosaic."""
DRAWN = 100_000
"""Values that a histogram is drawn from: a random sample where there are more."""
_OWN = Path(__file__).parent / "assets"


@dataclass(frozen=True)
class Preview:
    """What was written, and what it shows."""

    path: Path
    frames: int
    kept: int
    lost: int
    """Files that never became measurements."""


@dataclass(frozen=True)
class Beside:
    """One frame beside a threshold."""

    uri: str | None
    value: float
    path: str


@dataclass(frozen=True)
class Cut:
    """One threshold: how the frames lie about it."""

    threshold: Threshold
    value: float
    chart: Chart
    kept: int
    dropped: int
    inside: list[Beside]
    """Kept, nearest first."""
    beyond: list[Beside]
    """Dropped, nearest first."""


@dataclass(frozen=True)
class Group:
    """Frames of one fate: a random sample, in order of their ids, which are hashes."""

    name: str
    frames: int
    detail: str
    pictures: list[str]


def write_preview(store: Path, out: Path, measuring: MeasureConfig, config: FilterConfig) -> Preview:
    """Writes the page for these thresholds to `out`, which appears complete or not at all. The store is only read.

    Raises:
        ValueError: nothing was measured with `measuring`.
        StoreError: there is no store.
    """
    acting = thresholds(measuring.extra)
    limits = config.limits(acting)
    with reading(store) as con:
        con.execute(f"CREATE TEMP TABLE usable AS {USABLE}", measured_by(measuring))
        con.execute("CREATE TEMP TABLE seen AS SELECT * FROM usable WHERE sharpness IS NOT NULL")
        frames = con.execute("SELECT count(*) FROM seen").fetchall()[0][0]
        if not frames:
            raise ValueError("nothing is measured with these settings yet; run the filter stage first")
        measured = con.execute(f"SELECT {', '.join(f'count({t.column})' for t in acting)} FROM seen").fetchall()[0]
        cuts = [_cut(con, t, limits[t.setting]) for t, n in zip(acting, measured, strict=True) if n]
        kept = _kept(con, acting, limits)
        page: dict[str, Any] = {
            "frames": frames,
            "kept": kept,
            "cuts": cuts,
            "dropped": [_dropped(con, cut) for cut in sorted(cuts, key=lambda cut: -cut.dropped) if cut.dropped],
            "lost": _lost(con),
            "unmeasured": con.execute("SELECT count(*) FROM usable WHERE sharpness IS NULL").fetchall()[0][0],
            "width": measuring.working_width,
        }
    _write(out, environment(_OWN, "preview.css").get_template("preview.html.j2").render(page))
    return Preview(out, frames, kept.frames, sum(group.frames for group in page["lost"]))


def _cut(con: duckdb.DuckDBPyConnection, t: Threshold, limit: float) -> Cut:
    drawn = con.execute(f"SELECT {t.column} FROM seen USING SAMPLE reservoir({DRAWN} ROWS) REPEATABLE (0)").fetchall()
    mark = charts.Limit(limit, f"{'at least' if t.least else 'at most'} {limit:g}", t.least)
    chart = charts.histogram(t.name, [float(row[0]) for row in drawn], [mark], x_label=t.unit, log=t.log)
    parameters: dict[str, object] = {t.setting: limit}
    dropped = con.execute(f"SELECT count(*) FROM seen WHERE {t.dropped}", parameters).fetchall()[0][0]
    total = con.execute("SELECT count(*) FROM seen").fetchall()[0][0]

    def nearest(side: str, order: str) -> list[Beside]:
        rows = con.execute(
            f"SELECT {t.column}::DOUBLE, path FROM seen WHERE {side} ORDER BY {t.column} {order}, frame_id LIMIT {BESIDE}",
            parameters,
        ).fetchall()
        return [Beside(thumbnail(Path(path)), value, path) for value, path in rows]

    up, down = ("ASC", "DESC") if t.least else ("DESC", "ASC")
    return Cut(
        threshold=t,
        value=limit,
        chart=chart,
        kept=total - dropped,
        dropped=dropped,
        inside=nearest(f"NOT ({t.dropped})", up),
        beyond=nearest(t.dropped, down),
    )


def _kept(con: duckdb.DuckDBPyConnection, acting: Sequence[Threshold], limits: dict[str, float]) -> Group:
    passes = " AND ".join(f"NOT ({t.dropped})" for t in acting)
    frames = con.execute(f"SELECT count(*) FROM seen WHERE {passes}", limits).fetchall()[0][0]
    rows = con.execute(f"SELECT path FROM seen WHERE {passes} ORDER BY frame_id LIMIT {2 * TILES}", limits).fetchall()
    return Group("kept", frames, "", _thumbnails([row[0] for row in rows]))


def _dropped(con: duckdb.DuckDBPyConnection, cut: Cut) -> Group:
    t = cut.threshold
    rows = con.execute(
        f"SELECT path FROM seen WHERE {t.dropped} ORDER BY frame_id LIMIT {2 * TILES}", {t.setting: cut.value}
    ).fetchall()
    detail = f"{t.name} {'below' if t.least else 'above'} {cut.value:g}"
    return Group(t.reason.replace("_", " "), cut.dropped, detail, _thumbnails([row[0] for row in rows]))


def _lost(con: duckdb.DuckDBPyConnection) -> list[Group]:
    """Files that were refused before anything could be measured, by reason; some can still be shown, as duplicates."""
    rows = query(
        con,
        """
        SELECT reason, count(*) AS count, min(detail) AS detail, list(path ORDER BY item)[:?] AS paths
        FROM rejections WHERE stage = 'frames' GROUP BY reason ORDER BY count DESC, reason
        """,
        [TILES],
    )
    return [
        Group(row["reason"].replace("_", " "), row["count"], row["detail"], _thumbnails(row["paths"])) for row in rows
    ]


def _thumbnails(paths: list[str]) -> list[str]:
    return list(islice((uri for path in paths if (uri := thumbnail(Path(path)))), TILES))


def _write(out: Path, text: str) -> None:
    with replacing(out) as partial:
        partial.write_text(text, encoding="utf-8")
