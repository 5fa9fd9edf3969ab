"""A folder with index.html and clips/, opened as a file or over http.

A clip is a picture that holds a video's frames side by side: any browser plays it, and holds the first and the last, whatever
the video was packed with.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
from markupsafe import Markup

from wmsd_core import store
from wmsd_core.bench.benchmark import Arm, Benchmark, Grouping
from wmsd_core.bench.report.headline import arm_text
from wmsd_core.bench.run import EvaluationRun
from wmsd_core.bench.scores import Outcome, outcomes
from wmsd_core.files import replacing
from wmsd_core.pages.environment import environment
from wmsd_core.pages.images import Strip, strip_file
from wmsd_core.publication import refuse_other

EVERY = 2**31 - 1
"""More items than any benchmark has."""
ASSETS = Path(__file__).parent / "assets"
SIGN = '<script id="data" type="application/json">'
"""What every page of an evaluation has, and no other page."""


@dataclass(frozen=True)
class Written:
    """What `write_page` wrote."""

    path: Path
    items: int
    clips: int
    lost: int
    """Videos that were not made, or cannot be read."""
    gone: int
    """Items of the evaluation that the store does not have any more."""


def write_page(path: Path, run: EvaluationRun, out: Path) -> Written:
    """Writes the page of an evaluation: its own items, with the verdicts that the store holds of them now.

    Args:
        path: the store.
        out: folder; what is in it under other names stays. Clips that are there are not made again.

    Raises:
        ValueError: the benchmark cannot be loaded, or none of these items is there any more; or the folder has an index.html of
            something else.
    """
    refuse_other(out / "index.html", SIGN)
    benchmark = run.evaluation.benchmark
    with store.reading(path) as con:
        by_arm = _of_its_items(con, run)
        groupings = benchmark.groupings(con, [outcome.item for outcome in next(iter(by_arm.values()))])
    (out / "clips").mkdir(parents=True, exist_ok=True)
    strips = {
        outcome.video_id: strip_file(Path(outcome.video), out / "clips", outcome.sha256[:16])
        for found in by_arm.values()
        for outcome in found
        if outcome.video
    }
    shown = _shown(benchmark, by_arm, groupings, strips, _pickscores(run))
    made: Any = environment(ASSETS, "viewer.css")
    text = made.get_template("index.html.j2").render(
        title=benchmark.title,
        run=run,
        items=len(shown["items"]),
        data=shown,
        script=Markup((ASSETS / "viewer.js").read_text(encoding="utf-8")),
    )
    with replacing(out / "index.html") as partial:
        partial.write_text(text, encoding="utf-8")
    items = len(shown["items"])
    clips = sum(strip is not None for strip in strips.values())
    return Written(out / "index.html", items, clips, len(by_arm) * items - clips, len(run.items) - items)


def _of_its_items(con: duckdb.DuckDBPyConnection, run: EvaluationRun) -> dict[Arm, list[Outcome]]:
    """What became of the items that were drawn then. A store that has more of them now draws others."""
    everything = run.evaluation.config.model_copy(update={"tasks": EVERY})
    found = outcomes(con, run.evaluation.model_copy(update={"config": everything}))
    by_item = {arm: {outcome.item.item_id: outcome for outcome in of_arm} for arm, of_arm in found.items()}
    left = [item for item in run.items if all(item in of_arm for of_arm in by_item.values())]
    if not left:
        raise ValueError(
            f"of the {len(run.items)} items of evaluation {run.evaluation_id} none is in the store any more"
        )
    return {arm: [of_arm[item] for item in left] for arm, of_arm in by_item.items()}


def _shown(
    benchmark: Benchmark,
    by_arm: Mapping[Arm, Sequence[Outcome]],
    groupings: Sequence[Grouping],
    strips: Mapping[str, Strip | None],
    pickscores: Mapping[tuple[Arm, str], tuple[float, float]],
) -> dict[str, Any]:
    """All that the page shows, as plain JSON."""
    kinds = {title: labels for title, labels in ((g.title, g.labels) for g in groupings) if labels}
    return {
        "arms": [{"name": arm, "title": arm_text(arm)[0]} for arm in by_arm],
        "criteria": [{"name": c.name, "title": c.title, "meaning": c.meaning} for c in benchmark.criteria],
        "kinds": list(kinds),
        "items": [
            {
                "id": same[0].item.item_id[:12],
                "task": same[0].item.task,
                "solution": same[0].item.solution,
                "kinds": [labels.get(same[0].item.item_id, "") for labels in kinds.values()],
                "clips": [
                    _clip(outcome, strips.get(outcome.video_id), pickscores.get((outcome.arm, outcome.item.item_id)))
                    for outcome in same
                ],
            }
            for same in zip(*by_arm.values(), strict=True)
        ],
    }


def _pickscores(run: EvaluationRun) -> dict[tuple[Arm, str], tuple[float, float]]:
    """(arm, item) -> PickScore of the video, and of its first frame alone."""
    return {
        (arm, item): (score, first)
        for arm, found in run.picture_scores.items()
        for item, score, first in zip(run.items, found.score, found.first, strict=True)
        if score is not None and first is not None
    }


def _clip(outcome: Outcome, strip: Strip | None, pickscore: tuple[float, float] | None) -> dict[str, Any]:
    return {
        "strip": None
        if strip is None
        else {
            "file": f"clips/{strip.uri}",
            "frames": strip.frames,
            "width": strip.width,
            "height": strip.height,
            "pixelated": strip.pixelated,
        },
        "verdicts": list(outcome.verdicts.values()),
        "odds": list(outcome.log_odds.values()),
        "pickscore": pickscore,
        "missing": [outcome.missing.get(name, "") for name in outcome.verdicts],
    }
