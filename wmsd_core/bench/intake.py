"""Clips from elsewhere: found by their names, looked into, and recorded as the videos of an arm."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from wmsd_core import store
from wmsd_core.arrays import Image
from wmsd_core.bench.benchmark import Arm, Item
from wmsd_core.bench.evaluation import Evaluation, items_of, video_id
from wmsd_core.bench.submission import Submission, checked
from wmsd_core.files import sha256
from wmsd_core.frames.decode import rgb
from wmsd_core.frames.refusal import Refusal


@dataclass(frozen=True)
class TakenIn:
    """What a folder holds."""

    clips: dict[str, str]
    """Item id -> SHA-256 of the file."""
    submission: Submission
    known: int
    """Clips that were looked into by an earlier run."""
    shapes: dict[str, int]
    """Length and rate of clips, and how many have them."""

    @property
    def summary(self) -> dict[str, object]:
        """Counts, and what is to be said about single files."""
        kinds = Counter(remark.kind for remark in self.submission.remarks)
        return {
            "expected": len(self.submission.expected),
            "found": len(self.clips),
            "missing": kinds["missing"],
            "extra": kinds["extra"],
            "refused": kinds["refused"],
            "broken": kinds["invalid"],
            "shapes": self.shapes,
            "remarks": [
                f"{'broken' if r.kind == 'invalid' else r.kind}: {r.subject}: {r.detail}"
                for r in self.submission.remarks
                if r.kind != "ignored"
            ],
        }


def take_in(path: Path, evaluation: Evaluation, arm: Arm, folder: Path) -> TakenIn:
    """Records the clips of `folder` as the videos of `arm`. The files stay where they are and as they are.

    A clip that is broken is recorded too: it counts as not judged, with the reason. What is said of a clip is said by every
    run, also by one that knows it.

    Raises:
        ValueError: there is no such folder, or the benchmark has no item here.
    """
    with store.reading(path) as con:
        items = items_of(con, evaluation.config)
        submission = evaluation.benchmark.clips(con, items, folder.absolute())
        before = {
            row["video_id"]: row
            for row in store.query(con, "SELECT video_id, path, frames FROM videos WHERE frames IS NOT NULL")
        }
    clips = {item: sha256(file) for item, file in submission.found.items()}
    named = evaluation.model_copy(update={"clips": {arm: clips}})
    by_id = {item.item_id: item for item in items}
    ids = {item: video_id(by_id[item], arm, named) for item in clips}
    new = [item for item in clips if before.get(ids[item], {}).get("path") != str(submission.found[item])]
    frames = {item: before[ids[item]]["frames"] for item in clips if item not in new}
    looked = checked(submission, {item: _picture(by_id[item]) for item in clips}, known=frames)
    rows = [
        {
            "video_id": ids[item],
            "benchmark": evaluation.benchmark.name,
            "item_id": item,
            "arm": arm,
            "model": "",
            "adapter": "",
            "seed": 0,
            "sampler": "",
            "path": str(submission.found[item]),
            "sha256": clips[item],
            "frames": frames,
            "fps": fps,
        }
        for item in new
        for frames, _, _, fps in [looked.shapes.get(item, (None,) * 4)]
    ]
    with store.writing(path) as con:
        store.insert(con, "videos", rows, replace=True)
        known = store.query(
            con, "SELECT frames, fps FROM videos WHERE list_contains(?, video_id)", [list(ids.values())]
        )
    shapes = Counter(
        f"{row['frames']} {'frame' if row['frames'] == 1 else 'frames'} at {row['fps']:.6g} per second"
        for row in known
        if row["frames"]
    )
    return TakenIn(clips, looked, len(clips) - len(new), dict(shapes.most_common()))


def _picture(item: Item) -> Image | None:
    try:
        return rgb(item.frame, longest=max(item.frame.width, item.frame.height))
    except Refusal:
        return None
