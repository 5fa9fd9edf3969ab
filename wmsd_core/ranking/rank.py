"""Scores the frames that passed the filter, and keeps the best of each source by a combined quality score.

The paper (A.6.1) keeps "the top of samples according to the combined quality score" without giving the fraction or the
combination; both are settings here. Ranks within a source are combined, not raw values: scales of different scorers do
not compare, and a dark game shall not lose all its frames to a bright one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from wmsd_core.config import Config, digest
from wmsd_core.filters import MeasureConfig
from wmsd_core.frames import Refusal, find
from wmsd_core.frames.decode import rgb
from wmsd_core.frames.refusal import attempt, record
from wmsd_core.ranking.laion import LaionAesthetic, LaionScorer
from wmsd_core.ranking.scorer import Scorer
from wmsd_core.ranking.statistics import ImageStatistics
from wmsd_core.shapes import Image
from wmsd_core.store import insert, reading, writing
from wmsd_core.store.funnel import replace_rejections

BATCH = 32
LONGEST = 512
"""Longer side, in pixels, at which pictures are scored: above what CLIP sees, below what costs time."""


class RankConfig(Config):
    """Which share of each source is kept, and by what."""

    aesthetic: LaionAesthetic | None = None
    """A LAION aesthetic predictor; without one, plain image statistics stand in, which are no aesthetic model."""
    keep_fraction: float = Field(default=0.9, gt=0, le=1)
    """Share of each source that is kept, rounded up to whole frames."""
    aesthetic_weight: float = Field(default=0.75, ge=0)
    """Weight of the rank by score within the source."""
    sharpness_weight: float = Field(default=0.25, ge=0)
    """Weight of the rank by sharpness within the source."""

    def scorer_name(self) -> str:
        """The `scorer` column of the scores that count under this configuration."""
        return self.aesthetic.scorer_name() if self.aesthetic else ImageStatistics.name


@dataclass(frozen=True)
class Scored:
    """Frames scored now, scored before by the same scorer, and found unusable when decoded."""

    scored: int
    before: int
    unusable: int


@dataclass(frozen=True)
class Kept:
    """Frames kept and dropped by rank; `unscored` ones are dropped until they have a score."""

    kept: int
    dropped: int
    unscored: int


def load_scorer(cfg: RankConfig) -> Scorer:
    """The configured scorer, weights loaded.

    Raises:
        ValueError: weights are missing or do not fit; the message says what to get from where.
    """
    return LaionScorer(cfg.aesthetic) if cfg.aesthetic else ImageStatistics()


def score_frames(store: Path, frame_ids: Sequence[str], cfg: RankConfig) -> Scored:
    """Scores those of `frame_ids` that this scorer has not scored yet, and stores each batch as it is done.

    Raises:
        ValueError: the scorer's weights are missing or do not fit.
    """
    name = cfg.scorer_name()
    with reading(store) as con:
        rows = con.execute(
            "SELECT unnest($ids) EXCEPT SELECT frame_id FROM aesthetics WHERE scorer = $scorer",
            {"ids": list(frame_ids), "scorer": name},
        ).fetchall()
        todo = find(con, [row[0] for row in rows])
    if not todo:
        return Scored(0, len(frame_ids), 0)
    scorer = load_scorer(cfg)
    unusable = 0
    for start in range(0, len(todo), BATCH):
        pictures: list[tuple[str, Image]] = []
        refused: list[tuple[str, Path, Refusal]] = []
        for frame in todo[start : start + BATCH]:
            picture = attempt(lambda frame: rgb(frame, LONGEST), frame)
            if isinstance(picture, Refusal):
                refused.append((frame.frame_id, frame.path, picture))
            else:
                pictures.append((frame.frame_id, picture))
        scores = scorer.score([picture for _, picture in pictures]) if pictures else []
        scored = [
            {"frame_id": frame_id, "scorer": name, "score": score}
            for (frame_id, _), score in zip(pictures, scores, strict=True)
        ]
        with writing(store) as con:
            insert(con, "aesthetics", scored)
            record(con, refused, cfg.digest())
        unusable += len(refused)
    return Scored(len(todo) - unusable, len(frame_ids) - len(todo), unusable)


_VERDICTS = """
    WITH candidates AS (
        SELECT f.frame_id AS item, f.path, f.source, a.score, m.sharpness
        FROM frames f
        LEFT JOIN aesthetics a ON a.frame_id = f.frame_id AND a.scorer = $scorer
        LEFT JOIN measurements m ON m.frame_id = f.frame_id AND m.config_hash = $measure_hash
        WHERE f.frame_id NOT IN (SELECT item FROM rejections WHERE stage IN ('frames', 'filter'))
    ), rated AS (
        SELECT item, path, source, count(*) OVER (PARTITION BY source) AS total,
               $aesthetic_weight * percent_rank() OVER (PARTITION BY source ORDER BY score)
               + $sharpness_weight * percent_rank() OVER (PARTITION BY source ORDER BY sharpness) AS quality
        FROM candidates WHERE score IS NOT NULL AND sharpness IS NOT NULL
    ), ranked AS (
        SELECT *, row_number() OVER (PARTITION BY source ORDER BY quality DESC, item) AS place,
               -- rounded first: .28 * 25 is a little more than 7 in binary
               ceil(round($keep_fraction * total, 9))::INTEGER AS places
        FROM rated
    )
    SELECT item, 'rank' AS reason,
           printf('combined quality %.3f is number %d of %d in its folder, %d are kept', quality, place, total, places)
           AS detail, path
    FROM ranked WHERE place > places
    UNION ALL
    SELECT item, 'unscored', 'not scored by this scorer yet; run the rank stage on it', path
    FROM candidates WHERE score IS NULL OR sharpness IS NULL
"""


def keep_top(store: Path, measuring: MeasureConfig, cfg: RankConfig) -> Kept:
    """Sets the rejections of stage `rank` for every frame that passed the filter, from stored scores alone.

    Frames of equal quality are kept in order of id.
    """
    parameters: dict[str, object] = {
        "scorer": cfg.scorer_name(),
        "measure_hash": measuring.digest(),
        "keep_fraction": cfg.keep_fraction,
        "aesthetic_weight": cfg.aesthetic_weight,
        "sharpness_weight": cfg.sharpness_weight,
    }
    with writing(store) as con:
        replace_rejections(con, "rank", _VERDICTS, parameters, digest([measuring.digest(), cfg.digest()]))
        counts = dict(
            con.execute("SELECT reason, count(*) FROM rejections WHERE stage = 'rank' GROUP BY reason").fetchall()
        )
        passed = con.execute(
            """
            SELECT count(*) FROM frames
            WHERE frame_id NOT IN (SELECT item FROM rejections WHERE stage IN ('frames', 'filter', 'rank'))
            """
        ).fetchall()[0][0]
    return Kept(passed, counts.get("rank", 0), counts.get("unscored", 0))
