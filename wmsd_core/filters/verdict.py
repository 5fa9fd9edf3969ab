"""Thresholds on stored measurements: the verdict of the filter stage (paper A.6.1), in SQL."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
from pydantic import Field

from wmsd_core.config import Config, digest
from wmsd_core.filters.measuring import ORIGIN, MeasureConfig, forget_origins
from wmsd_core.filters.thresholds import READABLE, USABLE, Threshold, measured_by, thresholds
from wmsd_core.store import reading, writing
from wmsd_core.store.funnel import replace_rejections


class FilterConfig(Config):
    """Which frames are good enough. A frame at a threshold is kept.

    The paper's values are lost in its text. These keep published WorldTasks frames, night scenes included, with a
    margin, and drop what is unusable at first sight. They hold for a working width of 640 pixels.
    """

    min_sharpness: float = Field(default=12.0, ge=0)
    """Least variance of the Laplacian, squared grey levels; less is "blurred"."""
    min_crispness: float = Field(default=0.085, ge=0)
    """Least ratio of fine to coarse detail, see `wmsd_core/filters/crispness.py`; less is "unsharp": shaken, out of focus, or
    grain over a blur. It holds at any size."""
    min_luminance: float = Field(default=24.0, ge=0, le=255)
    """Least mean grey level; less is "dark"."""
    max_luminance: float = Field(default=230.0, ge=0, le=255)
    """Greatest mean grey level; more is "bright"."""
    max_near_black: float = Field(default=0.65, ge=0, le=1)
    """Greatest fraction of pixels below grey level 16."""
    max_near_white: float = Field(default=0.65, ge=0, le=1)
    """Greatest fraction of pixels from grey level 240 up."""
    max_flatness: float = Field(default=0.83, ge=0, le=1)
    """Greatest share of one sixteenth of the grey scale; more is "flat", a nearly empty frame."""
    max_bars: float = Field(default=0.02, ge=0, le=1)
    """Greatest fraction of the picture that black letterbox or pillarbox bars take; more is "bars"."""
    max_overlay: float = Field(default=0.015, ge=0, le=1)
    """Greatest fraction of the picture that lines of text take, where measure.overlay asked for it; more is "overlay"."""
    min_side: int = Field(default=256, ge=1)
    """Least width and height in pixels; less is "too_small"."""
    max_aspect: float = Field(default=2.5, ge=1)
    """Greatest ratio of the longer to the shorter side; more is "aspect": a panorama, a banner, a strip."""
    extra: dict[str, float] = Field(default={})
    """Limits of the filters from outside (measure.extra) by their names, where a filter's own is not to hold."""

    def limits(self, among: Sequence[Threshold]) -> dict[str, float]:
        """The limit of each threshold by its setting: the parameters of its SQL.

        Raises:
            ValueError: `extra` names no filter from outside among them.
        """
        others = {t.outside.name: t.outside.limit for t in among if t.outside}
        if unknown := self.extra.keys() - others.keys():
            known = ", ".join(others) or "none is named in measure.extra"
            raise ValueError(f"filter.extra names {', '.join(sorted(unknown))}; filters from outside: {known}")
        chosen = others | self.extra
        return {t.setting: chosen[t.outside.name] if t.outside else getattr(self, t.setting) for t in among}


@dataclass(frozen=True)
class Decided:
    """Frames kept and dropped, and how often each reason was given (a frame can have several)."""

    kept: int
    dropped: int
    reasons: dict[str, int]


class Unmeasured(ValueError):
    """Some frames are not measured with these settings: there are no verdicts on all of them yet."""


def _reason(t: Threshold) -> str:
    """SQL: why a frame beyond one threshold is dropped, with the figures in words; NULL for a frame that is not."""
    name = t.name.replace("'", "''").replace("%", "%%")
    # The limit is put into words once; the figure for each frame.
    detail = f"""
        printf('{name} %.4g', {t.column}::DOUBLE) || printf(' is {"below" if t.least else "above"} %.4g', ${t.setting}::DOUBLE)
    """
    return f"CASE WHEN {t.dropped} THEN {{'reason': '{t.reason}', 'detail': {detail}}} END"


def _beyond(source: str, among: Sequence[Threshold]) -> str:
    """SQL: every frame of a source that is beyond one of the thresholds, once for each, in order of frame.

    What is sorted is as narrow as can be: a row for each frame that is dropped, before its reasons are put into words. It is by
    twelve digits of the id, which DuckDB holds without a pointer and which differ in all but one pair of twenty million frames.
    """
    return f"""
        SELECT item, why.reason AS reason, why.detail AS detail, path FROM (
            SELECT frame_id AS item, unnest([{", ".join(map(_reason, among))}]) AS why, path
            FROM (SELECT * FROM ({source}) WHERE {" OR ".join(t.dropped for t in among)} ORDER BY frame_id[:12])
        ) WHERE why IS NOT NULL
    """


_UNMEASURED = f"""
    SELECT frame_id AS item, 'unmeasured' AS reason,
           'not measured with these settings yet; run the filter stage on it' AS detail, path
    FROM ({USABLE}) WHERE sharpness IS NULL ORDER BY frame_id
"""


def _verdicts(among: Sequence[Threshold], whole: bool) -> str:
    """SQL: every frame that is beyond one of the thresholds, or not measured, unless the `whole` store is.

    Thresholds on measurements stand apart from those on sizes: each are looked up in one table, and of the other only what
    belongs to the few frames that are found.
    """
    measured = [t for t in among if t.measured]
    sized = [t for t in among if not t.measured]
    parts = [_beyond(source, some) for source, some in ((USABLE, measured), (READABLE, sized)) if some]
    return " UNION ALL ".join(f"SELECT * FROM ({part})" for part in (parts if whole else [*parts, _UNMEASURED]))


@dataclass(frozen=True)
class _Readable:
    """The frames that verdicts are on."""

    frames: int
    digest: int | None
    whole: bool
    """All of them are measured."""


def _readable(con: duckdb.DuckDBPyConnection, measuring: MeasureConfig) -> _Readable:
    """The readable frames: all are measured where the digests of both sets are equal, which costs half of what it does to look
    each one up."""

    def digest_of(source: str, **parameters: object) -> tuple[int, int | None]:
        return con.execute(f"SELECT count(*), bit_xor(hash(frame_id)) FROM ({source})", parameters).fetchall()[0]

    measured = """
        SELECT frame_id FROM measurements WHERE config_hash = $measuring
        AND frame_id NOT IN (SELECT item FROM rejections WHERE stage = 'frames')
    """
    readable, parameters = digest_of(READABLE), measured_by(measuring)
    same = readable == digest_of(measured, **parameters)
    return _Readable(*readable, same or not con.execute(f"{_UNMEASURED} LIMIT 1", parameters).fetchall())


def decide(store: Path, measuring: MeasureConfig, config: FilterConfig) -> Decided:
    """Sets the rejections of stage `filter` for every usable frame of the store, from stored measurements alone.

    Only measurements made with `measuring` count. A frame that has none is rejected as "unmeasured": what was not
    judged does not pass. The rows name the digest of both configurations that they were written with.

    Raises:
        ValueError: a filter from outside cannot be loaded, or a limit is given for one that is not there.
    """
    with writing(store) as con:
        return _decide(con, measuring, config, _readable(con, measuring))


def decide_again(store: Path, measuring: MeasureConfig, config: FilterConfig) -> Decided:
    """As `decide`, where all is measured.

    Raises:
        Unmeasured: it is not; nothing was changed.
        ValueError: as for `decide`.
    """
    with writing(store) as con:
        readable = _readable(con, measuring)
        if not readable.whole:
            raise Unmeasured("some frames are not measured with these settings: run the filter stage on them")
        return _decide(con, measuring, config, readable)


def _decide(
    con: duckdb.DuckDBPyConnection, measuring: MeasureConfig, config: FilterConfig, readable: _Readable
) -> Decided:
    """Verdicts by a threshold that is as it was, on the same frames, and that are all there, are left as they are."""
    acting = thresholds(measuring.extra)
    limits = config.limits(acting)
    shared = [measuring.digest(), config.revision, vars(readable)]
    made_from = {t.reason: digest([*shared, limits[t.setting]]) for t in acting}

    def origins() -> dict[str, str]:
        there = _reasons(con)
        return {reason: f"{made}, {there.get(reason, 0)} rows" for reason, made in made_from.items()}

    held = _origins(con) if readable.whole else {}
    kept = [reason for reason, origin in origins().items() if held.get(reason) == origin]
    if stale := [t for t in acting if t.reason not in kept]:
        parameters: dict[str, object] = {t.setting: limits[t.setting] for t in stale}
        if any(t.measured for t in stale) or not readable.whole:
            parameters |= measured_by(measuring)
        made_by = digest([measuring.digest(), config.digest()])
        replace_rejections(con, "filter", _verdicts(stale, readable.whole), parameters, made_by, keep=kept)
        forget_origins(con)
        if readable.whole:
            now = origins()
            con.execute(f"INSERT INTO verdicts SELECT '{ORIGIN}' || unnest(?), unnest(?)", [[*now], [*now.values()]])
    dropped = con.execute("SELECT count(DISTINCT item) FROM rejections WHERE stage = 'filter'").fetchall()[0][0]
    return Decided(readable.frames - dropped, dropped, _reasons(con))


def _reasons(con: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """How often each reason is given."""
    sql = "SELECT reason, count(*) FROM rejections WHERE stage = 'filter' GROUP BY reason ORDER BY reason"
    return dict(con.execute(sql).fetchall())


def _origins(con: duckdb.DuckDBPyConnection) -> dict[str, str]:
    """By reason, what its verdicts were made from, and how many there were."""
    sql = "SELECT stage[$begin:], made_from FROM verdicts WHERE starts_with(stage, $origin)"
    return dict(con.execute(sql, {"begin": len(ORIGIN) + 1, "origin": ORIGIN}).fetchall())


def nearest(store: Path, measuring: MeasureConfig, config: FilterConfig) -> dict[str, float]:
    """The thresholds that would keep one frame, where none is kept: of the frame that fails the fewest, by the least.

    Empty where nothing was measured.
    """
    acting = thresholds(measuring.extra)
    distance = [
        f"CASE WHEN {t.dropped} THEN abs({t.column} - ${t.setting}) / greatest(abs(${t.setting}), 1e-9) ELSE 0 END"
        for t in acting
    ]
    sql = f"""
        SELECT {", ".join(f"CASE WHEN {t.dropped} THEN {t.column}::DOUBLE END" for t in acting)} FROM ({USABLE})
        WHERE sharpness IS NOT NULL
        ORDER BY {" + ".join(f"({t.dropped})::INTEGER" for t in acting)}, {" + ".join(distance)}, frame_id LIMIT 1
    """
    with reading(store) as con:
        rows = con.execute(sql, measured_by(measuring) | config.limits(acting)).fetchall()
    return {
        t.setting: _just_inside(t, value)
        for row in rows
        for t, value in zip(acting, row, strict=True)
        if value is not None
    }


def _just_inside(t: Threshold, value: float) -> float:
    """The value in three digits, rounded to the side on which its frame is kept."""
    step = 10.0 ** (math.floor(math.log10(abs(value))) - 2) if value else 1.0
    rounded = (math.floor if t.least else math.ceil)(value / step) * step
    return int(rounded) if t.setting == "min_side" else float(f"{rounded:.6g}")
