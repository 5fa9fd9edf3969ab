"""DreamGen Bench as this project asks it: every item counts, a verdict that cannot be had is none.

Two benchmarks of the same items: the question for models that were trained on robots, and the one for models that never saw
one, by which a human hand fails. Scores by one are not comparable with scores by the other, nor are the published ones.
Items are registered pictures in folders `gr1_object`, `gr1_behavior`, `gr1_env` (`layout`). They have no solution, so that
the arm demonstrator makes no video. PA-II, the mean's other half, is a model of others, and not part of this.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import duckdb

from wmsd_core import store
from wmsd_core.bench.benchmark import Benchmark, Criterion, Grouping, Item, Published
from wmsd_core.bench.submission import Submission
from wmsd_core.bench.suites.dreamgen import layout
from wmsd_core.config import digest
from wmsd_core.frames import Frame
from wmsd_core.vlm import prompts

TITLES = {"gr1_object": "object", "gr1_behavior": "behavior", "gr1_env": "environment"}
_COLUMNS = ("Object", "Behavior", "Environment")
_TRAINED = {
    "HunyuanVideo, SFT": (0.26, 0.106, 0.276),
    "CogVideoX, SFT": (0.38, 0.28, 0.414),
    "Wan, SFT": (0.58, 0.553, 0.655),
    "Cosmos, SFT": (0.62, 0.617, 0.655),
    "LTX-2 + WMSD, not trained on robots": (0.70, 0.574, 0.586),
}
_ZERO_SHOT = {
    "HunyuanVideo": (0.0, 0.021, 0.0),
    "CogVideoX": (0.0, 0.0, 0.0),
    "Wan": (0.02, 0.021, 0.067),
    "Cosmos": (0.32, 0.319, 0.241),
    "LTX-2": (0.20, 0.298, 0.414),
}


def trained() -> Benchmark:
    """For models that were trained on the robot."""
    return _benchmark("dreamgen", "DreamGen Bench", "judge_dreamgen", _TRAINED, "fine-tuned, and WMSD")


def zero_shot() -> Benchmark:
    """For models that never saw the robot: human hands fail."""
    return _benchmark(
        "dreamgen-zero-shot", "DreamGen Bench, zero-shot", "judge_dreamgen_zero_shot", _ZERO_SHOT, "zero-shot"
    )


def _benchmark(
    name: str, title: str, wording: str, rows: Mapping[str, tuple[float, ...]], conditions: str
) -> Benchmark:
    return Benchmark(
        name=name,
        title=title,
        source="DreamGen, arXiv 2505.12705; the paper's section 4.7",
        licence="that of the pictures (nvidia/EVAL-175): not verified",
        criteria=(
            Criterion(
                "instruction", "Instruction", "the robot does exactly what it was told", prompts.template(wording)
            ),
            Criterion(
                "physics", "Physics", "what happens is physically possible", prompts.template("judge_dreamgen_physics")
            ),
        ),
        items=_items,
        absent="no registered picture is of DreamGen Bench: run `wmsd filter --frames FOLDER` on the folder "
        f"that holds {', '.join(layout.SUBSETS)}, in a workspace of its own",
        expected=sum(layout.SUBSETS.values()),
        published=Published(
            f"Table 2 of the paper, {conditions}; instruction following, by the published scripts and their judge",
            {method: dict(zip(_COLUMNS, values, strict=True)) for method, values in rows.items()},
        ),
        groupings=_groupings,
        clips=_clips,
    )


def _entries(con: duckdb.DuckDBPyConnection) -> list[tuple[layout.Entry, Frame]]:
    """The items among the registered pictures. One picture may be of several: each of its files counts."""
    rows = store.query(
        con,
        """
        SELECT files.path AS file, frame_id, frames.path, format, width, height FROM files JOIN frames USING (frame_id)
        WHERE frames.video = '' ORDER BY file
        """,
    )
    frames = {
        made: Frame(row["frame_id"], Path(row["path"]), row["format"], row["width"], row["height"])
        for row in rows
        if (made := layout.entry(Path(row["file"])))
    }
    return [(entry, frames[entry]) for entry in layout.ordered(list(frames))]


def _item(entry: layout.Entry, frame: Frame) -> Item:
    return Item(digest(["dreamgen", entry.name, entry.text, frame.frame_id]), frame, entry.text)


def _items(con: duckdb.DuckDBPyConnection, most: int) -> list[Item]:
    return [_item(entry, frame) for entry, frame in _entries(con)][:most]


def _clips(con: duckdb.DuckDBPyConnection, items: Sequence[Item], folder: Path) -> Submission:
    known = {item.item_id for item in items}
    entries = {entry: _item(entry, frame).item_id for entry, frame in _entries(con)}
    asked = {entry: item for entry, item in entries.items() if item in known}
    return layout.read(folder, list(asked)).renamed({entry.name: item for entry, item in asked.items()})


def _groupings(con: duckdb.DuckDBPyConnection, items: Sequence[Item]) -> list[Grouping]:
    """Both measures by subset."""
    known = {item.item_id for item in items}
    subsets = {_item(*each).item_id: TITLES[each[0].subset] for each in _entries(con)}
    labels = {item: subset for item, subset in subsets.items() if item in known}
    return [
        Grouping(f"{title} by subset", measure, labels, "the published folders")
        for measure, title in (("instruction", "Instruction"), ("physics", "Physics"))
    ]
