"""WorldTasks construction: images and videos become task-solution pairs (paper section 4.1.1)."""

from pathlib import Path

from prefect import flow

from flows.dedup import dedup
from flows.filter import filter_frames
from flows.generate import generate
from flows.rank import rank
from flows.screen import screen
from tasks.bookkeeping import Summary, go_on
from tasks.heartbeats import silent
from tasks.sole_use import sole_use
from wmsd_core.recipe import Recipe


@flow(name="dataset", flow_run_name="dataset")
def dataset(workspace: Path, frames: list[str], recipe: Recipe = Recipe(), *, refresh: bool = False) -> Summary:
    """Runs the data stages. Each does only what is missing; verdicts are always made afresh.

    Args:
        workspace: Folder that receives the store.
        frames: Images and videos, as for the filter stage.
        recipe: Settings of every stage.
        refresh: Forget earlier results and do everything again.
    """
    return run_stages(workspace, frames, recipe, refresh=refresh)


def run_stages(workspace: Path, frames: list[str], recipe: Recipe, *, refresh: bool) -> Summary:
    """The same as part of the run that calls it, without a run of its own between."""
    with sole_use(workspace), silent():
        filtered = go_on(filter_frames(workspace, frames, recipe.scan, recipe.measure, recipe.filter, refresh=refresh))
        unique = go_on(dedup(workspace, recipe.measure, recipe.dedup, refresh=refresh))
        ranked = go_on(rank(workspace, recipe.measure, recipe.rank, refresh=refresh))
        screened = go_on(screen(workspace, recipe.screen, recipe.models, refresh=refresh))
        written = go_on(
            generate(
                workspace,
                recipe.generate,
                labelling=recipe.label,
                selection=recipe.select,
                splitting=recipe.split,
                models=recipe.models,
                refresh=refresh,
            )
        )
    return {
        "files looked at": filtered["files"]["files"],
        "frames in the workspace": filtered["kept"] + filtered["dropped"],
        "frames kept by the filter": filtered["kept"],
        "without near-duplicates": unique["kept"],
        "kept by rank": ranked["kept"],
        "suitable": screened["kept"],
        "pairs kept": written["kept"],
        "frames with pairs of train and bench": {name: written["splits"][name] for name in ("train", "bench")},
    }
