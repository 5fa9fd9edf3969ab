"""How long a video takes, end to end and by part, over those whose time was measured.

    text        the solution, where a model writes it at inference (arm vlm)
    picture, encoding, sampling, decoding, file      its making
    judging     its share of the batches that it was asked about in, all criteria

End to end is from the task to the file: the text and the making. Videos are made one by one; judging has as many requests under
way as the judge allows.
"""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence

import duckdb

from wmsd_core import store
from wmsd_core.bench.benchmark import Arm
from wmsd_core.bench.evaluation import Evaluation

PARTS = ("text", "picture", "encoding", "sampling", "decoding", "file")
"""What adds up to the end-to-end time, in order."""
JUDGING, WHOLE = "judging", "end to end"

Seconds = dict[str, float]
"""Part -> mean seconds per video; `WHOLE` is the sum of `PARTS`. Parts that were not measured are left out."""


def timings(
    con: duckdb.DuckDBPyConnection, evaluation: Evaluation, videos: Mapping[Arm, Sequence[tuple[str, str]]]
) -> dict[Arm, Seconds]:
    """The time of each arm's videos; {} for an arm of which nothing was measured.

    Args:
        videos: arm -> video id and item id of each.
    """
    made = {
        row["video_id"]: json.loads(row["seconds"])
        for row in store.query(con, "SELECT video_id, seconds FROM videos WHERE seconds IS NOT NULL")
    }
    judged = {
        row["video_id"]: {JUDGING: row["seconds"]}
        for row in store.query(
            con,
            "SELECT video_id, sum(seconds) AS seconds FROM judgments "
            "WHERE judge = ? AND control = '' AND seconds IS NOT NULL GROUP BY video_id",
            [evaluation.judge],
        )
    }
    written = {
        row["item_id"]: {"text": row["seconds"]}
        for row in store.query(
            con,
            "SELECT item_id, seconds FROM written_solutions WHERE writer = ? AND seconds IS NOT NULL",
            [evaluation.writer],
        )
    }
    return {
        arm: _mean(
            [made[video] | (written.get(item, {}) if arm == "vlm" else {}) for video, item in found if video in made],
            [judged[video] for video, _ in found if video in judged],
        )
        for arm, found in videos.items()
    }


def _mean(making: Sequence[Seconds], judging: Sequence[Seconds]) -> Seconds:
    found: defaultdict[str, list[float]] = defaultdict(list)
    for video in (*making, *judging):
        for part, seconds in video.items():
            found[part].append(seconds)
    means = {part: sum(found[part]) / len(found[part]) for part in (*PARTS, JUDGING) if part in found}
    whole = sum(seconds for part, seconds in means.items() if part != JUDGING)
    return ({WHOLE: whole} if making else {}) | means
