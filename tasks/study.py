"""One run of a study: trained, measured at each of its steps, and told as lines of results."""

from pathlib import Path
from typing import Any

from prefect import task

from tasks.evaluate import count_verdicts, generate_videos, judge_videos, planned_evaluation, solve
from tasks.train import trained, training_split
from wmsd_core import store
from wmsd_core.bench.evaluation import EvaluateConfig
from wmsd_core.bench.run import EvaluationRun, load
from wmsd_core.studies.results import Line, RunLine, board_line, measurement_line, run_line
from wmsd_core.studies.study import Planned
from wmsd_core.training.records import RunFolder
from wmsd_core.workspace import Workspace


def has_tasks(workspace: Path) -> bool:
    """Whether the workspace has a training set."""
    place = Workspace(workspace)
    if not place.store.is_file():
        return False
    try:
        return bool(training_split(place))
    except ValueError:
        return False


@task(name="measure arm", task_run_name="{planned.arm}, seed {planned.seed}")
def measure(workspace: Path, planned: Planned) -> list[dict[str, Any]]:
    """Trains a run to its end, or finds it there, and measures it: its lines of results, as plain JSON."""
    found: list[Line] = []
    run: RunFolder | None = None
    if planned.role == "executor":
        run, _ = trained(workspace, planned.recipe.train, planned.recipe.models, planned.recipe.launch)
        metrics = run.path / "metrics.jsonl"
        found.append(run_line(planned, run_id=run.run_id, adapter=run.checksum, metrics=metrics))
    else:
        found.append(RunLine(arm=planned.arm, seed=planned.seed, key=planned.key))
    for board, config in planned.evaluations:
        evaluated = _evaluate(workspace, planned, config, run)
        found += [board_line(board, evaluated), measurement_line(planned, board, config.at_step or 0, evaluated)]
    return [line.model_dump(mode="json") for line in found]


def _evaluate(workspace: Path, planned: Planned, config: EvaluateConfig, run: RunFolder | None) -> EvaluationRun:
    models = planned.recipe.models
    evaluation = planned_evaluation(workspace, config, planned.recipe.train, models)
    if evaluation.writer:
        solve(workspace, evaluation, models)
    adapter = run.adapter_at(config.at_step) if run else Path()
    generate_videos(workspace, evaluation, adapter, models)
    judge_videos(workspace, evaluation, models)
    counted = count_verdicts(workspace, evaluation)
    with store.reading(Workspace(workspace).store) as con:
        return load(con, counted.evaluation_id)
