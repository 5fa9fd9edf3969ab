"""PickScore as it is stored: of each video its score, and that of its first frame alone; and arms compared in it."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import duckdb

from wmsd_core import store
from wmsd_core.bench import statistics
from wmsd_core.bench.benchmark import Arm
from wmsd_core.bench.run import EvaluationRun, PictureScores
from wmsd_core.bench.statistics import Interval


@dataclass(frozen=True)
class PictureDifference:
    """`arm` minus `against` in the scores of the same items, as published."""

    arm: Arm
    against: Arm
    pairs: int
    """Items with a score on both sides."""
    dropped: int
    pictures: int
    """That these items begin with."""
    mean: float
    interval: Interval
    """95 %, by picture."""


def stored(con: duckdb.DuckDBPyConnection, videos: Mapping[Arm, Sequence[str]]) -> dict[Arm, PictureScores]:
    """Arm -> the scores of its videos, given in the order of the items, by the scorer that has scored most of them, of
    several the last; {} where none was scored, and no arm of which none was."""
    everyone = sorted({video for of_arm in videos.values() for video in of_arm if video})
    rows = store.query(
        con,
        "SELECT video_id, scorer, score, first FROM picture_scores WHERE list_contains(?, video_id) ORDER BY rowid",
        [everyone],
    )
    if not rows:
        return {}
    counts = Counter(row["scorer"] for row in rows)
    last = {row["scorer"]: place for place, row in enumerate(rows)}
    scorer = max(counts, key=lambda name: (counts[name], last[name]))
    known = {row["video_id"]: row for row in rows if row["scorer"] == scorer}
    return {
        arm: PictureScores(
            scorer=scorer,
            score=[known[video]["score"] if video in known else None for video in of_arm],
            first=[known[video]["first"] if video in known else None for video in of_arm],
        )
        for arm, of_arm in videos.items()
        if any(video in known for video in of_arm)
    }


def difference(one: EvaluationRun, arm: Arm, other: EvaluationRun, against: Arm) -> PictureDifference | None:
    """Of two arms on the items that both runs have; None where one was not scored, or by another scorer."""
    mine, theirs = one.picture_scores.get(arm), other.picture_scores.get(against)
    if mine is None or theirs is None or mine.scorer != theirs.scorer:
        return None
    known = dict(zip(other.items, theirs.score, strict=True))
    common = [row for row in zip(one.items, one.pictures, mine.score, strict=True) if row[0] in known]
    by_picture: defaultdict[str, list[float]] = defaultdict(list)
    for item, picture, score in common:
        if score is not None and (beside := known[item]) is not None:
            by_picture[picture].append(score - beside)
    sums, sizes = [sum(group) for group in by_picture.values()], [len(group) for group in by_picture.values()]
    if not (pairs := sum(sizes)):
        return None
    interval = statistics.unbounded_interval(sums, sizes)
    return PictureDifference(arm, against, pairs, len(common) - pairs, len(sizes), sum(sums) / pairs, interval)
