"""Stage: training the Executor."""

from pathlib import Path

from prefect import flow

from tasks.artifacts import publish_table
from tasks.bookkeeping import Summary, stage_run
from tasks.train import trained
from wmsd_core.models import ModelsConfig
from wmsd_core.training.config import TrainConfig
from wmsd_core.training.launch import LaunchConfig


@flow(name="train", flow_run_name="train")
def train(
    workspace: Path,
    config: TrainConfig = TrainConfig(),
    models: ModelsConfig = ModelsConfig(),
    launch: LaunchConfig = LaunchConfig(),
    *,
    refresh: bool = False,
) -> Summary:
    """Distils the Demonstrator into the Executor; a run that was interrupted is resumed, a finished one is kept.

    Args:
        workspace: Folder with the store.
        config: Objective, rewards, sampler, optimizer.
        models: Generator and judge by name.
        launch: How many processes, and whether they split the base.
        refresh: Delete what the run has left and train from the start.
    """
    with stage_run(workspace, "train", {"train": config, "models": models}) as summary:
        _, found = trained(workspace, config, models, launch, refresh)
        summary |= found
        publish_table("training-run", [summary], f"train: adapter {summary['adapter'][:12]} after {config.steps} steps")
    return summary
