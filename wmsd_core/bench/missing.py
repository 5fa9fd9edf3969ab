"""Which of the benchmark's videos are still to be made. Reads no torch: whoever finds nothing missing needs no generator."""

from dataclasses import dataclass
from pathlib import Path

from wmsd_core import store
from wmsd_core.bench.benchmark import Arm, Item
from wmsd_core.bench.evaluation import Evaluation, items_of, video_id
from wmsd_core.frames import clips


@dataclass(frozen=True)
class Generated:
    """What a run of `generate_videos` did."""

    made: int
    found: int
    """Videos that existed with their file intact."""
    skipped: int
    """Videos not made because the picture's file is gone or damaged, or the text of the arm vlm was not written; the score
    counts them as not judged."""


@dataclass(frozen=True)
class Missing:
    """What an arm lacks."""

    told: list[Item]
    """Items that have a text for the arm."""
    items: list[Item]
    """Those of them without a video, or whose file is lost or damaged."""
    untold: int
    """Items for which nobody has written a text."""


def missing(path: Path, evaluation: Evaluation, arm: Arm) -> Missing:
    """The items of an evaluation that have no intact video of an arm. Every file is read, and compared with its SHA-256."""
    with store.reading(path) as con:
        items = items_of(con, evaluation.config, writer=evaluation.writer)
        known = {row["video_id"]: row for row in store.query(con, "SELECT video_id, path, sha256 FROM videos")}
    told = [item for item in items if evaluation.benchmark.text(item, arm)]
    lacking: list[Item] = []
    for item in told:
        row = known.get(video_id(item, arm, evaluation))
        if row is None or not clips.intact(Path(row["path"]), row["sha256"]):
            lacking.append(item)
    return Missing(told, lacking, len(items) - len(told))


def missing_videos(path: Path, evaluation: Evaluation) -> int:
    """How many videos `generate_videos` would make, texts that are not written yet left aside."""
    return sum(len(missing(path, evaluation, arm).items) for arm in evaluation.config.arms)


def all_there(path: Path, evaluation: Evaluation) -> Generated | None:
    """What `generate_videos` would return without making any video; None where there is one to make."""
    arms = [missing(path, evaluation, arm) for arm in evaluation.config.arms]
    if any(arm.items for arm in arms):
        return None
    return Generated(0, sum(len(arm.told) for arm in arms), sum(arm.untold for arm in arms))
