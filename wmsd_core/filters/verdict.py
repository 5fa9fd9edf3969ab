"""Thresholds on stored measurements: the verdict of the filter stage (paper A.6.1), in SQL."""

import math
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from wmsd_core.config import Config, digest
from wmsd_core.filters.measuring import MeasureConfig
from wmsd_core.filters.thresholds import THRESHOLDS, USABLE, Threshold, measured_by
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
    max_overlay: float = Field(default=0.04, ge=0, le=1)
    """Greatest fraction of the picture that rows of text take, where measure.overlay asked for it; more is "overlay"."""
    min_side: int = Field(default=256, ge=1)
    """Least width and height in pixels; less is "too_small"."""
    max_aspect: float = Field(default=2.5, ge=1)
    """Greatest ratio of the longer to the shorter side; more is "aspect": a panorama, a banner, a strip."""


@dataclass(frozen=True)
class Judged:
    """Frames kept and dropped, and how often each reason was given (a frame can have several)."""

    kept: int
    dropped: int
    reasons: dict[str, int]


def _reason(t: Threshold) -> str:
    """SQL: the frames beyond one threshold, with the figures in words."""
    detail = f"{t.name} %.4g is {'below' if t.least else 'above'} %.4g"
    return f"""
        SELECT frame_id AS item, '{t.reason}' AS reason,
               printf('{detail}', {t.column}::DOUBLE, ${t.setting}::DOUBLE) AS detail, path
        FROM usable WHERE {t.dropped}
    """


_VERDICTS = f"""
    WITH usable AS ({USABLE}) {" UNION ALL ".join(map(_reason, THRESHOLDS))} UNION ALL
    SELECT frame_id, 'unmeasured', 'not measured with these settings yet; run the filter stage on it', path
    FROM usable WHERE sharpness IS NULL
"""


def judge(store: Path, measuring: MeasureConfig, config: FilterConfig) -> Judged:
    """Sets the rejections of stage `filter` for every usable frame of the store, from stored measurements alone.

    Only measurements made with `measuring` count. A frame that has none is rejected as "unmeasured": what was not
    judged does not pass. The rows name the digest of both configurations.
    """
    config_hash = digest([measuring.digest(), config.digest()])
    with writing(store) as con:
        parameters = measured_by(measuring) | config.model_dump()
        replace_rejections(con, "filter", _VERDICTS, parameters, config_hash)
        reasons = con.execute(
            "SELECT reason, count(*) FROM rejections WHERE stage = 'filter' GROUP BY reason ORDER BY reason"
        ).fetchall()
        kept, dropped = con.execute(
            """
            SELECT count(*) FILTER (NOT rejected), count(*) FILTER (rejected)
            FROM (SELECT frame_id IN (SELECT item FROM rejections WHERE stage = 'filter') AS rejected FROM frames
                  WHERE frame_id NOT IN (SELECT item FROM rejections WHERE stage = 'frames'))
            """
        ).fetchall()[0]
    return Judged(kept, dropped, dict(reasons))


def nearest(store: Path, measuring: MeasureConfig, config: FilterConfig) -> dict[str, float]:
    """The thresholds that would keep one frame, where none is kept: of the frame that fails the fewest, by the least.

    Empty where nothing was measured.
    """
    distance = {
        t: f"CASE WHEN {t.dropped} THEN abs({t.column} - ${t.setting}) / greatest(abs(${t.setting}), 1e-9) ELSE 0 END"
        for t in THRESHOLDS
    }
    sql = f"""
        SELECT {", ".join(f"CASE WHEN {t.dropped} THEN {t.column}::DOUBLE END" for t in THRESHOLDS)} FROM ({USABLE})
        WHERE sharpness IS NOT NULL
        ORDER BY {" + ".join(f"({t.dropped})::INTEGER" for t in THRESHOLDS)}, {" + ".join(distance.values())}, frame_id LIMIT 1
    """
    with reading(store) as con:
        rows = con.execute(sql, measured_by(measuring) | config.model_dump()).fetchall()
    return {
        t.setting: _beyond(t, value)
        for row in rows
        for t, value in zip(THRESHOLDS, row, strict=True)
        if value is not None
    }


def _beyond(t: Threshold, value: float) -> float:
    """The value in three digits, rounded to the side on which its frame is kept."""
    step = 10.0 ** (math.floor(math.log10(abs(value))) - 2) if value else 1.0
    rounded = (math.floor if t.least else math.ceil)(value / step) * step
    return int(rounded) if t.setting == "min_side" else float(f"{rounded:.6g}")
