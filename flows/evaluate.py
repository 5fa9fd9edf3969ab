"""Stage: a benchmark."""

from pathlib import Path

from prefect import flow

from tasks.artifacts import publish_table
from tasks.bookkeeping import Summary, plain, stage_run
from tasks.evaluate import (
    count_verdicts,
    generate_videos,
    judge_controls,
    judge_videos,
    of_arm,
    planned_evaluation,
    score_pictures,
    score_rows,
    solve,
    take_in,
)
from tasks.pictures import publish_videos
from tasks.runner import shard_runner
from tasks.train import planned_run
from wmsd_core.bench.benchmark import named
from wmsd_core.bench.evaluation import EvaluateConfig
from wmsd_core.models import ModelsConfig
from wmsd_core.training.config import TrainConfig


@flow(name="evaluate", flow_run_name="evaluate", task_runner=shard_runner())
def evaluate(
    workspace: Path,
    config: EvaluateConfig = EvaluateConfig(),
    trained: TrainConfig = TrainConfig(),
    models: ModelsConfig = ModelsConfig(),
) -> Summary:
    """Generates and judges held-out videos of base, Demonstrator and Executor, from the same noise; and clips from elsewhere.

    The arm vlm, if asked for, has its texts written first.

    Videos and judgments that exist are kept; a file that was lost or damaged is made again.

    Args:
        workspace: Folder with the store.
        config: Benchmark, items, arms, sampler, seed.
        trained: The training run whose Executor is measured.
        models: Generator and judge by name.
    """
    benchmark = named(config.benchmark)
    settings = {"evaluate": config, "train": trained, "models": models}
    with stage_run(workspace, "evaluate", settings, benchmark=benchmark.name) as summary:
        evaluation = planned_evaluation(workspace, config, trained, models)
        if evaluation.writer:
            summary["solutions"] = solve(workspace, evaluation, models)
        of_executor = "executor" in config.arms
        adapter = planned_run(workspace, trained, models).adapter_at(config.at_step) if of_executor else Path()
        making = [generate_videos.submit(workspace, of_arm(evaluation, arm), adapter, models) for arm in config.arms]
        videos = dict(zip(config.arms, (future.result() for future in making), strict=True))
        given = {arm: take_in(workspace, evaluation, arm) for arm in config.videos}
        evaluation = evaluation.model_copy(update={"clips": {arm: clips for arm, (clips, _) in given.items()}})
        judged = judge_videos(workspace, evaluation, models)
        controls = judge_controls(workspace, evaluation, models)
        if config.pickscore:
            summary["pickscore"] = score_pictures(workspace, evaluation, models)
        counted = count_verdicts(workspace, evaluation)
        summary |= plain(counted) | {
            "videos": videos | {arm: found for arm, (_, found) in given.items()},
            "judged": judged,
            "controls": controls,
        }
        rows = score_rows(workspace, counted.evaluation_id)
        averages = [f"{arm} {score:.1%}" for arm, score in counted.averages.items() if score is not None]
        told = f"evaluate: {counted.items} tasks of {benchmark.title}, on average {', '.join(averages)}"
        publish_table("benchmark-scores", rows, told)
        publish_videos(workspace, evaluation)
    return summary
