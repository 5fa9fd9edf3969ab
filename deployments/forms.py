"""What the Prefect UI offers: each stage with a form of a few fields, over the flow that the command of the same name runs.

The settings of a run are the defaults, changed by its recipe, by the workspace's `wmsd.yaml`, by `settings`, and last by the
fields of the form. `deployments/prefect.yaml` names these flows.
"""

import textwrap
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

from deployments import start

start.begin()  # before anything that counts threads is imported, whoever's worker has started this process

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.states import Cancelled
from pydantic import Field

from deployments.configuration import effective
from flows.evaluate import evaluate as evaluate_flow
from flows.filter import filter_frames
from flows.generate import generate as generate_flow
from flows.pipeline import pipeline as pipeline_flow
from flows.rank import rank as rank_flow
from flows.report import report
from flows.screen import screen as screen_flow
from flows.train import train as train_flow
from tasks.artifacts import address, publish_link
from tasks.bookkeeping import Summary
from tasks.runner import shard_runner
from tasks.sole_use import sole_use
from tasks.train import planned_run, settings_of
from wmsd_core import overrides
from wmsd_core.filters import FilterConfig
from wmsd_core.recipe import Recipe
from wmsd_core.workspace import Workspace

RecipeName = Literal["workspace", "miniature", "worldtasks", "ltx2", "hunyuan15", "miniature-ltx2"]
"""A recipe; "workspace" stands for what the workspace's `wmsd.yaml` says."""

LATEST = timedelta(hours=6)
"""How late a nightly run may begin: a worker that was away for days does not make up for the nights."""

NAME = 100
"""Characters of a run's name."""


def run_name() -> str:
    """What a run does, for the list of runs: stage, workspace, and what its form changes."""
    given = dict(flow_run.parameters)
    what = f"{flow_run.flow_name} {Path(given.pop('workspace')).name}"
    if (recipe := given.pop("recipe")) != "workspace":
        what += f" by {recipe}"
    thresholds: FilterConfig = given.pop("thresholds", FilterConfig())
    given |= altered(thresholds)
    told = [*given.pop("settings", ()), *(f"{name}={value}" for name, value in given.items() if value)]
    return textwrap.shorten(f"{what}: {', '.join(told)}" if told else what, NAME, placeholder=" ...")


@flow(name="pipeline", flow_run_name=run_name, task_runner=shard_runner())
def pipeline(
    workspace: Path,
    recipe: RecipeName = "workspace",
    settings: tuple[str, ...] = (),
    frames: tuple[str, ...] = (),
    refresh: bool = False,
) -> Summary:
    """Runs every stage, from images to the report. What is done already is not done again.

    Args:
        workspace: Folder of store, images, videos, checkpoints and report; absolute, as the worker sees it.
        recipe: Where the settings come from; "workspace" is what its wmsd.yaml says.
        settings: Single settings that differ, such as train.steps=20; `wmsd settings` lists the keys.
        frames: Your own images and videos: absolute folders, files, patterns, manifests. Without any, those that the
            workspace has; the miniature renders its own.
        refresh: Forget earlier results of the data stages and do them again.
    """
    with sole_use(begun(workspace)):
        return pipeline_flow.fn(workspace, configuration(workspace, recipe, settings), sources(frames), refresh=refresh)


@flow(name="filter", flow_run_name=run_name, task_runner=shard_runner())
def filter_(
    *,
    thresholds: FilterConfig = FilterConfig(),  # noqa: B008 - frozen
    workspace: Path,
    frames: tuple[str, ...] = (),
    recipe: RecipeName = "workspace",
    settings: tuple[str, ...] = (),
    refresh: bool = False,
) -> Summary:
    """Measures images and drops blurred, dark, bright, nearly empty, unreadable and duplicate ones, each with its reason.

    With other thresholds no image is read again.

    Args:
        thresholds: What is good enough. A value that is left as it is shown here is as the settings say.
        workspace: Folder of the store; absolute, as the worker sees it.
        frames: Further images and videos: absolute folders, files, patterns, manifests. Without any, those that the
            workspace has.
        recipe: Where the other settings come from; "workspace" is what its wmsd.yaml says.
        settings: Single settings that differ, such as measure.overlay=true; `wmsd settings` lists the keys.
        refresh: Forget earlier measurements and measure again.
    """
    with sole_use(begun(workspace)):
        c = configuration(workspace, recipe, settings)
        place = Workspace(workspace)
        given = sources(frames) or (None if place.store.exists() else [str(place.frames)])
        limits = FilterConfig.model_validate(c.filter.model_dump() | altered(thresholds))
        return filter_frames.fn(workspace, given, c.scan, c.measure, limits, refresh=refresh)


@flow(name="rank", flow_run_name=run_name, task_runner=shard_runner())
def rank(
    *,
    keep_fraction: Annotated[float, Field(gt=0, le=1)] | None = None,
    workspace: Path,
    recipe: RecipeName = "workspace",
    settings: tuple[str, ...] = (),
    refresh: bool = False,
) -> Summary:
    """Scores the images that passed the filter and keeps the best fraction.

    Args:
        keep_fraction: Share that is kept, above 0 and at most 1. Left out: as the settings say.
        workspace: Folder of the store; absolute, as the worker sees it.
        recipe: Where the other settings come from; "workspace" is what its wmsd.yaml says.
        settings: Single settings that differ, such as rank.by_source=false; `wmsd settings` lists the keys.
        refresh: Forget earlier scores and score again.
    """
    with sole_use(begun(workspace, holds_frames=True)):
        chosen = () if keep_fraction is None else (f"rank.keep_fraction={keep_fraction}",)
        c = configuration(workspace, recipe, (*settings, *chosen))
        return rank_flow.fn(workspace, c.measure, c.rank, refresh=refresh)


@flow(name="screen", flow_run_name=run_name, task_runner=shard_runner())
def screen(
    *,
    min_log_odds: float | None = None,
    workspace: Path,
    recipe: RecipeName = "workspace",
    settings: tuple[str, ...] = (),
    refresh: bool = False,
) -> Summary:
    """Asks the vision-language model in which of the ranked images an agent can do something.

    Args:
        min_log_odds: How sure of a yes it must be, in nats; 0 is its own verdict. Another value asks nobody again. Left
            out: as the settings say.
        workspace: Folder of the store; absolute, as the worker sees it.
        recipe: Where the other settings come from; "workspace" is what its wmsd.yaml says.
        settings: Single settings that differ, such as models.writer=vllm; `wmsd settings` lists the keys.
        refresh: Forget earlier answers and ask again.
    """
    with sole_use(begun(workspace, holds_frames=True)):
        chosen = () if min_log_odds is None else (f"screen.min_log_odds={min_log_odds}",)
        c = configuration(workspace, recipe, (*settings, *chosen))
        return screen_flow.fn(workspace, c.screen, c.models, refresh=refresh)


@flow(name="generate", flow_run_name=run_name, task_runner=shard_runner())
def generate(
    workspace: Path, recipe: RecipeName = "workspace", settings: tuple[str, ...] = (), refresh: bool = False
) -> Summary:
    """Writes task-solution pairs for each screened image, labels and selects them, and splits images into train and bench.

    Args:
        workspace: Folder of the store; absolute, as the worker sees it.
        recipe: Where the settings come from; "workspace" is what its wmsd.yaml says.
        settings: Single settings that differ, such as generate.count=4; `wmsd settings` lists the keys.
        refresh: Forget earlier pairs and write new ones.
    """
    with sole_use(begun(workspace, holds_frames=True)):
        c = configuration(workspace, recipe, settings)
        return generate_flow.fn(
            workspace,
            c.generate,
            labelling=c.label,
            selection=c.select,
            splitting=c.split,
            models=c.models,
            refresh=refresh,
        )


@flow(name="train", flow_run_name=run_name, task_runner=shard_runner())
def train(
    workspace: Path,
    run: str = "",
    recipe: RecipeName = "workspace",
    settings: tuple[str, ...] = (),
    refresh: bool = False,
) -> Summary:
    """Distils the Demonstrator into the Executor. Cancel it at any time: it goes on from its last checkpoint.

    Args:
        workspace: Folder of the store; absolute, as the worker sees it.
        run: Id of a run to go on with (a folder in training/), whose settings then count. Empty: the run that recipe and
            settings name.
        recipe: Where the settings come from; "workspace" is what its wmsd.yaml says.
        settings: Single settings that differ, such as train.steps=300; `wmsd settings` lists the keys.
        refresh: Delete what the run has left and train from the start.
    """
    with sole_use(begun(workspace, holds_frames=True)):
        c = configuration(workspace, recipe, settings, run)
        return train_flow.fn(workspace, c.train, c.models, c.launch, refresh=refresh)


@flow(name="evaluate", flow_run_name=run_name, task_runner=shard_runner())
def evaluate(
    workspace: Path, run: str = "", recipe: RecipeName = "workspace", settings: tuple[str, ...] = ()
) -> Summary:
    """Generates and judges held-out videos of base, Demonstrator and Executor, and writes the report.

    Args:
        workspace: Folder of the store; absolute, as the worker sees it.
        run: Id of the training run that is measured (a folder in training/). Empty: the one that recipe and settings name.
        recipe: Where the settings come from; "workspace" is what its wmsd.yaml says.
        settings: Single settings that differ, such as evaluate.tasks=100; `wmsd settings` lists the keys.
    """
    with sole_use(begun(workspace, holds_frames=True)):
        c = configuration(workspace, recipe, settings, run)
        summary = evaluate_flow.fn(workspace, c.evaluate, c.train, c.models)
        written = Path(report(workspace)["path"])
        publish_link("evaluation", address(workspace, written), "report.html", "evaluate: the report")
        return summary


@flow(name="nightly-evaluation", flow_run_name=run_name, task_runner=shard_runner())
def nightly_evaluation(
    workspace: Path, recipe: RecipeName = "workspace", settings: tuple[str, ...] = ()
) -> Summary | State[Any]:
    """Evaluates and writes the report, by schedule. A run that begins hours late is left out: the next night has its own.

    Args:
        workspace: Folder of the store; absolute, as the worker sees it.
        recipe: Where the settings come from; "workspace" is what its wmsd.yaml says.
        settings: Single settings that differ, such as evaluate.arms=[base]; `wmsd settings` lists the keys.
    """
    late = datetime.now(UTC) - flow_run.scheduled_start_time
    if late > LATEST:
        return Cancelled(message=f"{late.total_seconds() / 3600:.0f} hours late: left out, the next night has its own")
    return evaluate.fn(workspace, "", recipe, settings)


def altered(thresholds: FilterConfig) -> dict[str, Any]:
    """The thresholds of a form that are not as it showed them: the form sends all, touched or not."""
    shown = FilterConfig().model_dump()
    return {name: value for name, value in thresholds.model_dump().items() if value != shown[name]}


def begun(workspace: Path, *, holds_frames: bool = False) -> Path:
    """The folder of a form, if a stage can begin there.

    Raises:
        ValueError: it is not absolute, or a folder above it is missing, or it should hold frames and has no store.
    """
    if not workspace.is_absolute():
        raise ValueError(f"the workspace '{workspace}' is not absolute: it would lie in a folder of the worker's")
    if holds_frames and not Workspace(workspace).store.exists():
        raise ValueError(f"there is no store in {workspace}: run pipeline or filter there first, or mend the name")
    if not workspace.parent.is_dir():
        raise ValueError(f"there is no folder {workspace.parent} to make the workspace in: mend the name, or make it")
    return Workspace(workspace).prepare().root


def sources(frames: tuple[str, ...]) -> list[str] | None:
    """Where frames come from.

    Raises:
        ValueError: one is not absolute.
    """
    if relative := [name for name in frames if not Path(name).is_absolute()]:
        raise ValueError(f"give '{relative[0]}' as an absolute path: the worker's folder is another one")
    return list(frames) or None


def configuration(workspace: Path, recipe: RecipeName, settings: tuple[str, ...], run: str = "") -> Recipe:
    """Every setting of a run.

    Raises:
        ValueError: there is no such setting or training run, or a value is refused.
    """
    named = None if recipe == "workspace" else recipe
    if not run:
        return effective(workspace, named, settings)
    chosen = effective(workspace, named, ())
    trained, models = settings_of(workspace, run, chosen.models)
    changed = overrides.apply(chosen.model_copy(update={"train": trained, "models": models}), settings)
    if planned_run(workspace, changed.train, changed.models).run_id != run:
        raise ValueError(
            f"run {run} is another one with these settings, or with the tasks that the workspace has now: leave `run` empty "
            "to train one for them"
        )
    return changed
