"""A study: its arms and seeds, some runs at a time, and its results as one file."""

from pathlib import Path

from prefect import flow
from prefect.futures import PrefectFuture
from prefect.logging import get_run_logger

from flows.dataset import dataset
from flows.miniature import render
from tasks.bookkeeping import Summary
from tasks.heartbeats import silent
from tasks.runner import threads
from tasks.sole_use import sole_use
from tasks.study import has_tasks, measure
from wmsd_core.recipe import Recipe
from wmsd_core.studies.page import write
from wmsd_core.studies.results import Results, RunLine, load, parsed, save
from wmsd_core.studies.study import Planned, Study, planned, with_settings
from wmsd_core.workspace import Workspace


@flow(name="study", task_runner=threads(2))
def study(workspace: Path, study: Study, recipe: Recipe, results: Path) -> Summary:
    """Trains and measures every arm with every seed. A run that was interrupted is resumed, and one that the results have whole
    is not made again.

    The results are written after each run, so that a study which is stopped has those of the runs before.

    Args:
        workspace: Folder with the store; without a training set, the miniature's is made first, as the study's settings say.
        study: Arms, seeds and settings.
        recipe: What the settings of the study are changes to.
        results: The file of results; page and table are written beside it.
    """
    runs = planned(study, recipe)
    with sole_use(workspace), silent():
        known, stale = load(results).only(runs)
        left = [run for run in runs if not known.whole(run)]
        if len(left) < len(runs):
            get_run_logger().info(f"{len(runs) - len(left)} of {len(runs)} runs are in {results} already")
        if left and not has_tasks(workspace):
            _prepare(workspace, with_settings(recipe, study.settings))
        for run in stale:
            get_run_logger().warning(f"{run}: the results so far are of other settings, and are made again")
        futures = [(run, measure.submit(workspace, run)) for run in left]
        for run, future in futures:
            known = _having(known, run, future)
            save(results, known.only(runs)[0])
    failed = [f"{line.arm}, seed {line.seed}" for line in known.runs if line.failed]
    return {"runs": len(runs), "new": len(left), "failed": failed or "none"} | write(study, known, results)


def _prepare(workspace: Path, recipe: Recipe) -> None:
    if recipe.render is None:
        raise ValueError(f"there is no training task in {workspace}: make a dataset there first (wmsd dataset)")
    render(workspace, recipe.render)
    dataset(workspace, [str(Workspace(workspace).frames)], recipe)


def _having(known: Results, run: Planned, future: "PrefectFuture[list[dict[str, object]]]") -> Results:
    """With one run's lines; of one that has failed, which takes no other with it, with the reason, or what it had before."""
    try:
        lines = parsed(future.result())
    except (ValueError, RuntimeError) as error:
        get_run_logger().warning(f"{run.arm}, seed {run.seed}, has failed: {error}")
        before = any((line.arm, line.seed, line.failed) == (run.arm, run.seed, "") for line in known.runs)
        lines = [] if before else [RunLine(arm=run.arm, seed=run.seed, key=run.key, failed=str(error))]
    return known.having(lines)
