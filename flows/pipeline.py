"""The whole method: images become tasks, tasks become an Executor, the Executor is measured."""

from pathlib import Path

from prefect import flow

from flows.dedup import dedup
from flows.evaluate import evaluate
from flows.filter import filter_frames
from flows.generate import generate
from flows.miniature import render
from flows.rank import rank
from flows.report import report
from flows.screen import screen
from flows.train import train
from tasks.bookkeeping import Summary, row_counts
from wmsd_core.recipe import Recipe
from wmsd_core.workspace import Workspace


@flow(name="pipeline")
def pipeline(workspace: Path, recipe: Recipe = Recipe(), frames: Path | None = None, refresh: bool = False) -> Summary:
    """Runs every stage. What is done already is not done again: a second run only looks.

    Args:
        workspace: Folder that receives store, images, videos, checkpoints and report.
        recipe: Settings of every stage.
        frames: Your own images; without a folder the miniature's are rendered.
        refresh: Forget earlier results of the data stages and do them again.
    """
    before = row_counts(workspace)
    if frames is None:
        if recipe.render is None:
            raise ValueError("this recipe renders no images: give a folder of your own with --frames")
        render(workspace, recipe.render)
        frames = Workspace(workspace).frames
    filter_frames(workspace, frames, recipe.scan, recipe.measure, recipe.filter, refresh)
    dedup(workspace, recipe.measure, recipe.dedup, refresh)
    rank(workspace, recipe.measure, recipe.rank, refresh)
    screen(workspace, recipe.screen, recipe.models, refresh)
    generate(workspace, recipe.generate, recipe.split, recipe.models, refresh)
    train(workspace, recipe.train, recipe.models)
    scores = evaluate(workspace, recipe.evaluate, recipe.train, recipe.models)
    written = report(workspace)
    new = dict(row_counts(workspace) - before)
    return {
        **{f"average of {arm}": score for arm, score in scores["averages"].items()},
        "new": new or "nothing, everything was up to date",
        "report": written["path"],
    }
