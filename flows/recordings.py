"""Stage: recorded videos become a run of supervised fine-tuning ("+SFT" in the paper). It needs no workspace."""

from pathlib import Path

from prefect import flow

from tasks.bookkeeping import Summary
from tasks.recordings import label, plan_run, refuse_other_run
from wmsd_core.models import ModelsConfig
from wmsd_core.training.config import TrainConfig
from wmsd_core.training.recordings import RecordingConfig


@flow(name="label-videos", flow_run_name="label-videos")
def label_videos(
    videos: Path,
    out: Path,
    config: RecordingConfig = RecordingConfig(),
    train: TrainConfig = TrainConfig(),
    models: ModelsConfig = ModelsConfig(),
) -> Summary:
    """Has a vision-language model name the task of each video, and writes the folder of a run that is trained on them.

    Args:
        videos: Folder of videos, searched recursively. They are only read.
        out: Folder that receives examples, clips, rejections and `run.json`.
        config: Length and rate of the clips, and what the model is shown.
        train: Settings of the training; its arm becomes `sft`.
        models: The generator that is tuned, and the model that names tasks, as `writer`.
    """
    refuse_other_run(out)
    summary = label(videos, out, config, models)
    plan_run(out, train, models)
    return summary
