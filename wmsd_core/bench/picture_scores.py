"""PickScore of an evaluation's videos, beside its scores (paper section 4.2): no verdict, and no part of any.

A mean over frames is blind to motion: in image-to-video a still copy of the first frame scores well. So the first frame
alone stands beside it, and the difference of both. The text is the short task, the same for every arm.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import duckdb

from wmsd_core import store
from wmsd_core.arrays import Videos
from wmsd_core.bench import statistics
from wmsd_core.bench.benchmark import Arm
from wmsd_core.bench.evaluation import Evaluation
from wmsd_core.bench.scores import Outcome, outcomes
from wmsd_core.bench.statistics import Interval
from wmsd_core.frames import clips
from wmsd_core.frames.refusal import failed
from wmsd_core.rewards.pickscore import SCALE, PickScores
from wmsd_core.vlm.stream import gathered


class Scorer(Protocol):
    """`rewards.pickscore.PickScore`."""

    name: str

    def score(self, texts: Sequence[str], videos: Videos) -> PickScores:
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
    """The scores of each arm, by the scorer that has scored most of the store's videos; [] where nothing was scored."""
    rows = store.query(
        con,
        """
        SELECT video_id, scorer, score, first FROM picture_scores WHERE scorer = (
            SELECT scorer FROM picture_scores GROUP BY scorer ORDER BY count(*) DESC, scorer LIMIT 1)
        """,
    )
    scores = {row["video_id"]: row for row in rows}
    known = {arm: [(o, scores[o.video_id]) for o in found if o.video_id in scores] for arm, found in by_arm.items()}
    return [_summary(arm, found) for arm, found in known.items() if found]


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


def _summary(arm: Arm, found: Sequence[tuple[Outcome, Mapping[str, Any]]]) -> PictureScore:
    whole: defaultdict[str, list[float]] = defaultdict(list)
    added: defaultdict[str, list[float]] = defaultdict(list)
    for outcome, row in found:
        score, first = row["score"], row["first"]
        whole[outcome.item.frame.frame_id].append(score)
        added[outcome.item.frame.frame_id].append(score - first)
    sizes = [len(group) for group in whole.values()]
    totals, gains = [sum(group) for group in whole.values()], [sum(group) for group in added.values()]
    mean, difference = sum(totals) / sum(sizes), sum(gains) / sum(sizes)
    return PictureScore(
        arm,
        found[0][1]["scorer"],
        len(found),
        mean,
        mean - difference,
        difference,
        statistics.unbounded_interval(totals, sizes),
        statistics.unbounded_interval(gains, sizes),
    )
