"""A benchmark: videos of each arm, a judgment of each criterion, scores."""

from pathlib import Path

from prefect import task

from tasks.bookkeeping import Summary, plain
from tasks.models import judge, writer
from tasks.retrying import retried
from tasks.train import planned_run
from wmsd_core import store
from wmsd_core.bench import examination, intake, judging, missing, picture_scores, scores
from wmsd_core.bench.benchmark import Arm, OwnArm
from wmsd_core.bench.evaluation import EvaluateConfig, Evaluation
from wmsd_core.bench.scores import Counted
from wmsd_core.bench.solving import write_solutions, writer_of
from wmsd_core.models import ModelsConfig, base_checksum, generator
from wmsd_core.training.config import TrainConfig
from wmsd_core.training.deliveries import intact
from wmsd_core.vlm import judge_of
from wmsd_core.workspace import Workspace


def planned_evaluation(
    workspace: Path, config: EvaluateConfig, trained: TrainConfig, models: ModelsConfig
) -> Evaluation:
    """The evaluation that these settings name.

    Raises:
        ValueError: the Executor is to be measured and its training is not finished, or has kept nothing of that step; or
            PickScore is to be had and is not there.
    """
    if config.pickscore:
        from wmsd_core.rewards.pickscore import expect  # reads torch, as all that is imported in a function here

        expect(models.pickscore, models.pickscore_processor)
    run = planned_run(workspace, trained, models) if "executor" in config.arms else None
    adapter = intact(run.adapter_at(config.at_step)) if run else ""
    if run and not adapter:
        raise ValueError(
            "there is no finished training run with these settings: train with the same recipe and settings, "
            "or measure the other arms alone: evaluate.arms=[base,demonstrator]"
        )
    base = base_checksum(models, Workspace(workspace).features) if config.arms else ""
    judged_by = judge_of(judge(workspace, models))
    written_by = writer_of(writer(workspace, models)) if "vlm" in config.arms else ""
    return Evaluation(config=config, model=base, adapter=adapter, judge=judged_by, writer=written_by)


def of_arm(evaluation: Evaluation, arm: OwnArm) -> Evaluation:
    """One own arm of an evaluation. The frozen arms are the same whatever was trained."""
    config = evaluation.config.model_copy(update={"arms": (arm,), "videos": {}})
    writer = evaluation.writer if arm == "vlm" else ""
    return evaluation.model_copy(update={"config": config, "adapter": evaluation.adapter_of(arm), "writer": writer})


@task(name="write solutions", **retried(3, 10))
def solve(workspace: Path, evaluation: Evaluation, models: ModelsConfig) -> Summary:
    """Has the missing texts of the arm vlm written."""
    vlm = writer(workspace, models)
    store_path = Workspace(workspace).store
    return plain(write_solutions(store_path, vlm, evaluation.config, concurrency=vlm.concurrency))


@task(name="generate videos", task_run_name="generate videos of {evaluation.config.arms[0]}", **retried(2, 5))
def generate_videos(workspace: Path, evaluation: Evaluation, adapter: Path, models: ModelsConfig) -> Summary:
    """Makes the missing videos of an evaluation; files that are lost or damaged are made again."""
    place = Workspace(workspace)
    if found := missing.all_there(place.store, evaluation):
        return plain(found)
    from wmsd_core.bench import generation
    from wmsd_core.training.adapters import load_adapter

    model = generator(models, place.features)
    if evaluation.adapter:
        load_adapter(model, adapter)
    return plain(generation.generate_videos(place.store, place.videos, model, evaluation))


@task(name="take clips in", task_run_name="take in {arm}")
def take_in(workspace: Path, evaluation: Evaluation, arm: Arm) -> tuple[dict[str, str], Summary]:
    """Finds the clips of an arm that somebody else made, by their names: item id -> SHA-256, and what was found."""
    found = intake.take_in(Workspace(workspace).store, evaluation, arm, Path(evaluation.config.videos[arm]))
    return found.clips, found.summary


@task(name="judge videos", **retried(3, 10))
def judge_videos(workspace: Path, evaluation: Evaluation, models: ModelsConfig) -> Summary:
    """Asks the missing questions."""
    return plain(judging.judge_videos(Workspace(workspace).store, judge(workspace, models), evaluation))


@task(name="judge controls", **retried(3, 10))
def judge_controls(workspace: Path, evaluation: Evaluation, models: ModelsConfig) -> Summary:
    """Asks about videos of which the answer is known."""
    return plain(examination.judge_controls(Workspace(workspace).store, judge(workspace, models), evaluation))


@task(name="score pictures", **retried(1, 5))
def score_pictures(workspace: Path, evaluation: Evaluation, models: ModelsConfig) -> Summary:
    """Has PickScore score the videos that it has not scored."""
    from wmsd_core.rewards.pickscore import PickScore

    scorer = PickScore(models.pickscore, models.pickscore_processor)
    return plain(picture_scores.score_videos(Workspace(workspace).store, scorer, evaluation))


@task(name="count verdicts")
def count_verdicts(workspace: Path, evaluation: Evaluation) -> Counted:
    """Counts verdicts into scores."""
    return scores.count_verdicts(Workspace(workspace).store, evaluation)


def score_rows(workspace: Path, evaluation_id: str) -> list[Summary]:
    """The scores of an evaluation, as a table for people."""
    with store.reading(Workspace(workspace).store) as con:
        return scores.rows_of(con, evaluation_id)
