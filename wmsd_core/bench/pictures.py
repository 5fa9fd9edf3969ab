"""PickScore as it is stored: of each video its score, and that of its first frame alone."""

from collections import Counter
from collections.abc import Mapping, Sequence

import duckdb

from wmsd_core import store
from wmsd_core.bench.benchmark import Arm
from wmsd_core.bench.run import PictureScores


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
