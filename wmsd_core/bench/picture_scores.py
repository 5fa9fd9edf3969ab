"""PickScore of an evaluation's videos, beside its scores (paper section 4.2): no verdict, and no part of any.

A mean over frames is blind to motion: in image-to-video a still copy of the first frame scores well. So the first frame
alone stands beside it, and the difference of both. The text is the short task, the same for every arm.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import duckdb

from wmsd_core import store
from wmsd_core.arrays import Videos
from wmsd_core.bench import statistics
from wmsd_core.bench.benchmark import Arm
from wmsd_core.bench.evaluation import Evaluation
from wmsd_core.bench.pictures import stored
from wmsd_core.bench.run import EvaluationRun, PictureScores
from wmsd_core.bench.scores import Outcome, outcomes
from wmsd_core.bench.statistics import Interval
from wmsd_core.frames import clips
from wmsd_core.frames.refusal import failed
from wmsd_core.rewards.published import SCALE
from wmsd_core.vlm.stream import gathered

if TYPE_CHECKING:
    from wmsd_core.rewards.pickscore import PickScores


class Scorer(Protocol):
    """`rewards.pickscore.PickScore`."""

    @property
    def name(self) -> str: ...

    def score(self, texts: Sequence[str], videos: Videos) -> "PickScores":
        """Scores video b for text b, divided by `SCALE`."""
        ...


@dataclass(frozen=True)
class PicturesScored:
    """What a run of `score_videos` did."""

    scored: int
    unread: int
    """Videos that could not be read; the next run tries them again."""


@dataclass(frozen=True)
class PictureScore:
    """The scores of one arm, as published: not divided by anything."""

    arm: Arm
    scorer: str
    videos: int
    pictures: int
    """That these videos begin with."""
    mean: float
    """Over videos, of the mean over their frames."""
    first: float
    """Of the first frame alone."""
    difference: float
    """`mean` minus `first`: what the rest of the video adds."""
    interval: Interval
    """95 %, of `mean`, by picture."""
    of_difference: Interval


def score_videos(path: Path, scorer: Scorer, evaluation: Evaluation) -> PicturesScored:
    """Scores the videos of an evaluation that this scorer has not scored yet."""
    with store.reading(path) as con:
        known = {
            row["video_id"]
            for row in store.query(con, "SELECT video_id FROM picture_scores WHERE scorer = ?", [scorer.name])
        }
        found = [o for same in outcomes(con, evaluation).values() for o in same if o.video and o.video_id not in known]
    scored = 0
    for rows in gathered(row for outcome in found if (row := _row(scorer, outcome))):
        with store.writing(path) as con:
            store.insert(con, "picture_scores", rows, replace=True)
        scored += len(rows)
    return PicturesScored(scored, len(found) - scored)


def picture_scores(con: duckdb.DuckDBPyConnection, by_arm: Mapping[Arm, Sequence[Outcome]]) -> list[PictureScore]:
    """The scores of each arm, by the scorer that has scored most of these videos; [] where nothing was scored."""
    found = stored(con, {arm: [outcome.video_id for outcome in same] for arm, same in by_arm.items()})
    pictures = [outcome.item.frame.frame_id for outcome in next(iter(by_arm.values()))]
    return [_summary(arm, pictures, scores) for arm, scores in found.items()]


def of_run(run: EvaluationRun) -> list[PictureScore]:
    """The same of a run that was counted."""
    return [_summary(arm, run.pictures, scores) for arm, scores in run.picture_scores.items()]


def _row(scorer: Scorer, outcome: Outcome) -> dict[str, object] | None:
    if not clips.intact(Path(outcome.video), outcome.sha256):
        return None
    try:
        video = clips.read(Path(outcome.video))
    except Exception as error:
        failed(error)  # what is no fault of the file is raised again
        return None
    found = scorer.score([outcome.item.task], video[None])
    return {
        "video_id": outcome.video_id,
        "scorer": scorer.name,
        "score": SCALE * float(found.video[0]),
        "first": SCALE * float(found.first[0]),
    }


def _summary(arm: Arm, pictures: Sequence[str], found: PictureScores) -> PictureScore:
    by_picture: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
    for picture, score, first in zip(pictures, found.score, found.first, strict=True):
        if score is not None and first is not None:
            by_picture[picture].append((score, first))
    sizes = [len(group) for group in by_picture.values()]
    whole = [sum(score for score, _ in group) for group in by_picture.values()]
    start = [sum(first for _, first in group) for group in by_picture.values()]
    gains = [total - first for total, first in zip(whole, start, strict=True)]
    videos = sum(sizes)
    return PictureScore(
        arm,
        found.scorer,
        videos,
        len(sizes),
        sum(whole) / videos,
        sum(start) / videos,
        sum(gains) / videos,
        statistics.unbounded_interval(whole, sizes),
        statistics.unbounded_interval(gains, sizes),
    )
