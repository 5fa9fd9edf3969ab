"""Thresholds on stored measurements: the verdict of the filter stage (paper A.6.1), in SQL."""

from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from wmsd_core.config import Config, digest
from wmsd_core.filters.measuring import MeasureConfig
from wmsd_core.store import writing
from wmsd_core.store.funnel import replace_rejections


class FilterConfig(Config):
    """Which frames are good enough. A frame at a threshold is kept.

    The paper's values are lost in its text. These keep published WorldTasks frames, night scenes included, with a
    margin, and drop what is unusable at first sight. They hold for a working width of 640 pixels.
    """

    min_sharpness: float = Field(default=12.0, ge=0)
    """Least variance of the Laplacian, squared grey levels; less is "blurred"."""
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


_VERDICTS = """
    WITH judged AS (
        SELECT f.frame_id AS item, f.path, m.*, least(f.width, f.height) AS side,
               greatest(f.width, f.height) / least(f.width, f.height) AS aspect
        FROM frames f LEFT JOIN measurements m ON m.frame_id = f.frame_id AND m.config_hash = $measure_hash
        WHERE f.frame_id NOT IN (SELECT item FROM rejections WHERE stage = 'frames')
    ), reasons AS (
        SELECT item, path, 'blurred' AS reason, 'sharpness' AS measure, sharpness AS value, 'below' AS side_of,
               $min_sharpness AS threshold FROM judged WHERE sharpness < $min_sharpness
        UNION ALL SELECT item, path, 'dark', 'luminance', luminance, 'below', $min_luminance
                  FROM judged WHERE luminance < $min_luminance
        UNION ALL SELECT item, path, 'bright', 'luminance', luminance, 'above', $max_luminance
                  FROM judged WHERE luminance > $max_luminance
        UNION ALL SELECT item, path, 'near_black', 'fraction of near-black pixels', near_black, 'above', $max_near_black
                  FROM judged WHERE near_black > $max_near_black
        UNION ALL SELECT item, path, 'near_white', 'fraction of near-white pixels', near_white, 'above', $max_near_white
                  FROM judged WHERE near_white > $max_near_white
        UNION ALL SELECT item, path, 'flat', 'flatness', flatness, 'above', $max_flatness
                  FROM judged WHERE flatness > $max_flatness
        UNION ALL SELECT item, path, 'bars', 'fraction of bars', bars, 'above', $max_bars
                  FROM judged WHERE bars > $max_bars
        UNION ALL SELECT item, path, 'aspect', 'longer by shorter side', aspect, 'above', $max_aspect
                  FROM judged WHERE aspect > $max_aspect
        UNION ALL SELECT item, path, 'too_small', 'shorter side', side, 'below', $min_side
                  FROM judged WHERE side < $min_side
    )
    SELECT item, reason, printf('%s %.4g is %s %.4g', measure, value, side_of, threshold) AS detail, path FROM reasons
    UNION ALL
    SELECT item, 'unmeasured', 'not measured with these settings yet; run the filter stage on it', path
    FROM judged WHERE sharpness IS NULL
"""


def judge(store: Path, measuring: MeasureConfig, cfg: FilterConfig) -> Judged:
    """Sets the rejections of stage `filter` for every usable frame of the store, from stored measurements alone.

    Only measurements made with `measuring` count. A frame that has none is rejected as "unmeasured": what was not
    judged does not pass. The rows name the digest of both configurations.
    """
    config_hash = digest([measuring.digest(), cfg.digest()])
    with writing(store) as con:
        parameters: dict[str, object] = {"measure_hash": measuring.digest(), **cfg.model_dump()}
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
