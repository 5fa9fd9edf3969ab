"""Keeps the best frames by a combined quality score, from stored scores and measurements alone.

The paper (A.6.1) keeps "the top of samples according to the combined quality score" without giving the fraction or the
combination; both are settings here. Ranks are combined, not raw values, since scales of different scorers do not compare:

    quality = sum over terms of weight x percent_rank(term)        within the source, or within all frames

with the terms aesthetic score, sharpness, exposure (nearness of the mean grey level to 127.5) and contrast (1 - flatness).
"""

from dataclasses import dataclass
from itertools import groupby, islice
from operator import itemgetter
from pathlib import Path

import numpy as np
import pyarrow as pa
from pydantic import Field, model_validator

from wmsd_core.config import Config, digest
from wmsd_core.filters import MeasureConfig
from wmsd_core.ranking.laion import LaionAesthetic
from wmsd_core.ranking.statistics import ImageStatistics
from wmsd_core.ranking.variety import Cover
from wmsd_core.store import reading, writing
from wmsd_core.store.funnel import count, replace_rejections, up_to

BLOCK = 1024


class RankConfig(Config):
    """Which share of the frames is kept, and by what."""

    revision = 2

    aesthetic: LaionAesthetic | None = None
    """A LAION aesthetic predictor, such as {head: FILE.safetensors}. Without one, frames are ordered by plain image
    statistics (colour, contrast, detail), which are no aesthetic model and are never shown as one."""
    keep_fraction: float = Field(default=0.9, gt=0, le=1)
    """Share that is kept, rounded up to whole frames."""
    by_source: bool = True
    """Rank and keep within each source, so that a dark game does not lose all its frames to a bright one; else among all."""
    aesthetic_weight: float = Field(default=0.75, ge=0)
    """Weight of the rank by score."""
    sharpness_weight: float = Field(default=0.25, ge=0)
    """Weight of the rank by sharpness."""
    exposure_weight: float = Field(default=0.0, ge=0)
    """Weight of the rank by nearness of the mean luminance to mid-grey."""
    contrast_weight: float = Field(default=0.0, ge=0)
    """Weight of the rank by contrast: how little of the picture lies in one sixteenth of the grey scale."""
    max_similarity: float | None = Field(default=None, ge=-1, lt=1)
    """Greatest cosine of a frame's CLIP embedding with that of a better frame that is kept; more is "similar", and makes room
    for the next frame. None: variety is not asked for. Needs `aesthetic`, whose encoder it uses."""

    @model_validator(mode="after")
    def _can_tell_similarity(self) -> "RankConfig":
        if self.max_similarity is not None and self.aesthetic is None:
            raise ValueError("max_similarity compares CLIP embeddings: set rank.aesthetic too, or leave it at null")
        return self

    def scorer_name(self) -> str:
        """The `scorer` column of the scores that count under this configuration.

        Raises:
            ValueError: the predictor's weights are missing; the message says where to get them.
        """
        return self.aesthetic.scorer_name() if self.aesthetic else ImageStatistics.name


@dataclass(frozen=True)
class Kept:
    """Frames kept, dropped by rank, and dropped as similar; `unscored` ones are dropped until they have a score."""

    kept: int
    dropped: int
    similar: int
    unscored: int


_RATED = """
    SELECT *,
           $aesthetic_weight * percent_rank() OVER (PARTITION BY part ORDER BY score)
           + $sharpness_weight * percent_rank() OVER (PARTITION BY part ORDER BY sharpness)
           + $exposure_weight * percent_rank() OVER (PARTITION BY part ORDER BY -abs(luminance - 127.5))
           + $contrast_weight * percent_rank() OVER (PARTITION BY part ORDER BY -flatness) AS quality
    FROM (
        SELECT f.frame_id AS item, f.path, CASE WHEN $by_source THEN f.source ELSE '' END AS part, a.score, m.*
        FROM frames f
        LEFT JOIN aesthetics a ON a.frame_id = f.frame_id AND a.scorer = $scorer
        LEFT JOIN measurements m ON m.frame_id = f.frame_id AND m.config_hash = $measure_hash
        WHERE f.frame_id NOT IN (SELECT item FROM rejections WHERE list_contains($stages, stage))
    )
    WHERE (score IS NULL OR sharpness IS NULL) = $unscored
"""

_VERDICTS = f"""
    WITH rated AS ({_RATED.replace("$unscored", "FALSE")}),
    totals AS (
        -- rounded first: .28 * 25 is a little more than 7 in binary
        SELECT part, count(*) AS total, ceil(round($keep_fraction * count(*), 9))::INTEGER AS places FROM rated GROUP BY part
    ), ranked AS (
        SELECT *, row_number() OVER (PARTITION BY part ORDER BY quality DESC, item) AS place
        FROM rated JOIN totals USING (part) WHERE item NOT IN (SELECT item FROM alike)
    )
    SELECT item, 'rank' AS reason,
           printf('combined quality %.3f is number %d of %d%s, %d are kept', quality, place, total,
                  CASE WHEN $by_source THEN ' in its folder' ELSE '' END, places) AS detail, path
    FROM ranked WHERE place > places
    UNION ALL
    SELECT item, 'similar', printf('cosine %.4f with %s, which is better', cosine, other), path
    FROM alike JOIN rated USING (item)
    UNION ALL
    SELECT item, 'unscored', 'not scored by this scorer yet; run the rank stage on it', path
    FROM ({_RATED.replace("$unscored", "TRUE")})
    ORDER BY item
"""


def keep_top(store: Path, measuring: MeasureConfig, config: RankConfig) -> Kept:
    """Sets the rejections of stage `rank` for every frame that was left before it. Equal quality goes by id.

    Raises:
        ValueError: the predictor's weights are missing; the message says where to get them.
    """
    parameters: dict[str, object] = {
        "scorer": config.scorer_name(),
        "measure_hash": measuring.digest(),
        "stages": up_to("dedup"),
        "by_source": config.by_source,
        **{
            f"{term}_weight": getattr(config, f"{term}_weight")
            for term in ("aesthetic", "sharpness", "exposure", "contrast")
        },
    }
    alike = pa.table(
        _similar(store, parameters, config), pa.schema({"item": "str", "other": "str", "cosine": "float64"})
    )
    with writing(store) as con:
        con.register("alike", alike)
        verdict = {**parameters, "keep_fraction": config.keep_fraction}
        replace_rejections(con, "rank", _VERDICTS, verdict, digest([measuring.digest(), config.digest()]))
        counts = dict(
            con.execute("SELECT reason, count(*) FROM rejections WHERE stage = 'rank' GROUP BY reason").fetchall()
        )
        kept = count(con, "rank")
    return Kept(kept, counts.get("rank", 0), counts.get("similar", 0), counts.get("unscored", 0))


def _similar(store: Path, parameters: dict[str, object], config: RankConfig) -> dict[str, list[object]]:
    """Columns item, other, cosine of the frames that a better one resembles too much."""
    found: dict[str, list[object]] = {"item": [], "other": [], "cosine": []}
    if config.max_similarity is None or config.aesthetic is None:
        return found
    sql = f"""
        SELECT part, item, vector FROM ({_RATED.replace("$unscored", "FALSE")}) rated
        JOIN embeddings e ON e.frame_id = rated.item AND e.encoder = $encoder
        ORDER BY part, quality DESC, item
    """
    with reading(store) as con:
        result = con.execute(sql, {**parameters, "encoder": config.aesthetic.clip.encoder()})
        for _, rows in groupby(iter(result.fetchone, None), key=itemgetter(0)):
            cover, items = Cover(config.max_similarity), list[str]()
            while block := list(islice(rows, BLOCK)):
                items += [row[1] for row in block]
                for pair in cover.extend(np.array([row[2] for row in block], np.float32)):
                    found["item"].append(items[pair.dropped])
                    found["other"].append(items[pair.kept])
                    found["cosine"].append(pair.cosine)
    return found
