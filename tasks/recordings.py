"""Recorded videos: tasks named for them, and the folder of a run that is fine-tuned on them."""

from pathlib import Path

from prefect import task

from tasks.bookkeeping import Summary, plain
from tasks.models import writer
from tasks.retrying import retried
from wmsd_core.models import ModelsConfig
from wmsd_core.publication import refuse_other
from wmsd_core.training.config import TrainConfig
from wmsd_core.training.recordings import RecordingConfig, label_recordings
from wmsd_core.training.run import Run


@task(name="label recordings", **retried(3, 10))
def label(videos: Path, out: Path, config: RecordingConfig, models: ModelsConfig) -> Summary:
    """Has a task named for every video that has none yet."""
    vlm = writer(out, models)
    return plain(label_recordings(videos, out, vlm, config, concurrency=vlm.concurrency))


def refuse_other_run(out: Path) -> None:
    """Sees to it before anything is asked that `plan_run` will write over nothing but its own file.

    Raises:
        ValueError: there is a run.json of something else.
    """
    refuse_other(out / "run.json", '"group_size"')


def plan_run(out: Path, config: TrainConfig, models: ModelsConfig) -> None:
    """Makes the folder of examples one that `python -m wmsd_core.training` fine-tunes on."""
    tuned = TrainConfig.model_validate(config.model_dump() | {"arm": "sft", "group_size": 1})
    run = Run(config=tuned, models=models)
    (out / "run.json").write_text(run.model_dump_json(indent=2), encoding="utf-8")
