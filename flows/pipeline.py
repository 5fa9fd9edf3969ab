"""The whole method: images become tasks, tasks become an Executor, the Executor is measured."""

from pathlib import Path

from prefect import flow

from flows.dataset import run_stages
from flows.evaluate import evaluate
from flows.miniature import render
from flows.report import report
from flows.train import train
from tasks.artifacts import address, publish_link
from tasks.bookkeeping import Summary, row_counts
from tasks.heartbeats import silent
from tasks.sole_use import sole_use
from wmsd_core.recipe import Recipe
from wmsd_core.workspace import Workspace


@flow(name="pipeline", flow_run_name="pipeline")
def pipeline(
    workspace: Path, recipe: Recipe = Recipe(), frames: list[str] | None = None, *, refresh: bool = False
) -> Summary:
    """Runs every stage. What is done already is not done again: a second run only looks.

    Args:
        workspace: Folder that receives store, images, videos, checkpoints and report.
        recipe: Settings of every stage.
        frames: Your own images and videos, as for the filter stage; without any the miniature's are rendered.
        refresh: Forget earlier results of the data stages and do them again.
    """
    with sole_use(workspace), silent():
        before = row_counts(workspace)
        if frames is None:
            if recipe.render is None:
                raise ValueError("this recipe renders no images: give images or videos of your own, as `frames`")
            render(workspace, recipe.render)
            frames = [str(Workspace(workspace).frames)]
        run_stages(workspace, frames, recipe, refresh=refresh)
        train(workspace, recipe.train, recipe.models, recipe.launch)
        scores = evaluate(workspace, recipe.evaluate, recipe.train, recipe.models)
        written = report(workspace)
        new = dict(row_counts(workspace) - before)
        averages = {f"average of {arm}": score for arm, score in scores["averages"].items()}
        told = ", ".join(f"{name} {score:.1%}" for name, score in averages.items() if score is not None)
        publish_link("pipeline", address(workspace, Path(written["path"])), "report.html", f"pipeline: {told}")
    return {
        **averages,
        "new": new or "nothing, everything was up to date",
        "report": written["path"],
    }
