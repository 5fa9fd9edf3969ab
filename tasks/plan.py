"""What a pipeline would do: the work that each stage finds left, asked as the stages ask, and what differs from their last run.

Nothing is made, and no picture or model looked at; what is new among the sources is seen only when the filter runs.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tasks.bookkeeping import Summary
from tasks.evaluate import planned_evaluation
from tasks.models import writer
from tasks.stages import PARTS
from tasks.train import planned_run
from wmsd_core import store
from wmsd_core.bench.benchmark import named
from wmsd_core.bench.missing import missing_videos
from wmsd_core.filters.measuring import unmeasured
from wmsd_core.frames.likeness import unsigned
from wmsd_core.ranking.scoring import unscored
from wmsd_core.recipe import Recipe
from wmsd_core.store.overview import pace
from wmsd_core.store.stage_runs import StageRun, cache_key, last_runs
from wmsd_core.workspace import Workspace
from wmsd_core.worldtasks.generation import unwritten
from wmsd_core.worldtasks.screening import unscreened
from wmsd_core.worldtasks.tags import waiting


@dataclass(frozen=True)
class Left:
    """What a stage has to do."""

    number: int
    of: str
    each: float | None = None
    """Seconds; None where nothing of the kind was timed in the stage's last run."""
    because: str = ""
    """What has changed since the stage's last run, though it makes nothing new."""


def plan(workspace: Path, recipe: Recipe, frames: list[str] | None = None) -> list[Summary]:
    """One row for each stage of the pipeline, in order: what is to do, why, and the seconds that it is expected to take.

    Verdicts of the data stages are made afresh by every run, whatever is left; that takes no time to speak of.
    """
    place, last = Workspace(workspace), _last_runs(workspace, recipe)
    rows: list[Summary] = []
    follows = False
    for stage in PARTS:
        if stage == "render" and (frames or recipe.render is None):
            continue
        before = last.get(stage)
        try:
            left, unknown = LEFT[stage](place, recipe, before), ""
        except (ValueError, RuntimeError) as absent:  # what an earlier stage makes is not there, or a server
            left, unknown = None, str(absent)
        because = _because(stage, recipe, before, left, follows)
        rows.append(
            {
                "stage": stage,
                "to_do": f"{left.number:,} {left.of}" if left else "not known yet",
                "because": because or unknown or "up to date",
                "expected_s": round(left.number * left.each, 1) if left and left.each is not None else None,
                "last_run_s": round(before.seconds, 1) if before else None,
            }
        )
        follows |= bool(because)
    return rows


def _last_runs(workspace: Path, recipe: Recipe) -> dict[str, StageRun]:
    path = Workspace(workspace).store
    if not path.exists():
        return {}
    with store.reading(path) as con:
        return last_runs(con, named(recipe.evaluate.benchmark).name)


def _because(stage: str, recipe: Recipe, before: StageRun | None, left: Left | None, follows: bool) -> str:
    """Why a stage would not find all as it was; '' where it would."""
    if before is None:
        return "it has not run yet"
    if before.cache_key != cache_key({part: getattr(recipe, part) for part in PARTS[stage]}):
        return "its settings have changed"
    if before.outdated:
        return "it was given other frames"
    if follows:
        return "a stage before it changes"
    if left and left.because:
        return left.because
    return "something is missing" if PARTS[stage] and left and left.number else ""


def _rate(before: StageRun | None, done: str) -> float | None:
    """Seconds for one, by the last run, if it has done any."""
    return before.seconds / before.summary[done] if before and before.summary.get(done) else None


def _pictures(place: Workspace, recipe: Recipe, before: StageRun | None) -> Left:
    wanted = recipe.render.n if recipe.render else 0
    there = sum(1 for _ in place.frames.glob("*.*"))
    return Left(max(wanted - there, 0), "pictures to render", _rate(before, "new"))


def _measurements(place: Workspace, recipe: Recipe, before: StageRun | None) -> Left:
    lacking = unmeasured(place.store, recipe.measure)
    return Left(sum(lacking.values()), "frames to measure, and new files", _rate(before, "measured"))


def _signatures(place: Workspace, recipe: Recipe, before: StageRun | None) -> Left:
    return Left(sum(unsigned(place.store).values()), "frames to sign", _rate(before, "signed"))


def _aesthetics(place: Workspace, recipe: Recipe, before: StageRun | None) -> Left:
    return Left(sum(unscored(place.store, recipe.rank.aesthetic).values()), "frames to score", _rate(before, "scored"))


def _answers(place: Workspace, recipe: Recipe, before: StageRun | None) -> Left:
    lacking = unscreened(place.store, writer(place.root, recipe.models).name)
    return Left(sum(lacking.values()), "frames to ask about", _rate(before, "answered"))


def _pairs(place: Workspace, recipe: Recipe, before: StageRun | None) -> Left:
    lacking = unwritten(place.store, writer(place.root, recipe.models).name, recipe.generate)
    with store.reading(place.store) as con:
        tagged = "tags have changed" if waiting(con) else ""
    return Left(sum(lacking.values()), "frames to write pairs for", _rate(before, "written_now"), tagged)


def _steps(place: Workspace, recipe: Recipe, before: StageRun | None) -> Left:
    run = planned_run(place.root, recipe.train, recipe.models)
    with store.reading(place.store) as con:
        done, each = pace(con, run.run_id)
    return Left(0 if run.checksum else recipe.train.steps - min(done, recipe.train.steps - 1), "steps to train", each)


def _videos(place: Workspace, recipe: Recipe, before: StageRun | None) -> Left:
    evaluation = planned_evaluation(place.root, recipe.evaluate, recipe.train, recipe.models)
    made = sum(arm.get("made", 0) for arm in before.summary["videos"].values()) if before else 0
    each = before.seconds / made if before and made else None
    return Left(missing_videos(place.store, evaluation), "videos to make, and their verdicts", each)


def _page(place: Workspace, recipe: Recipe, before: StageRun | None) -> Left:
    return Left(1, "page, which is always written", before.seconds if before else None)


LEFT: dict[str, Callable[[Workspace, Recipe, StageRun | None], Left]] = {
    "render": _pictures,
    "filter": _measurements,
    "dedup": _signatures,
    "rank": _aesthetics,
    "screen": _answers,
    "generate": _pairs,
    "train": _steps,
    "evaluate": _videos,
    "report": _page,
}
"""How each stage finds what is left, given its last run."""
