"""Training: one task that launches one process and watches it. Its retry resumes from the last checkpoint."""

import json
import shutil
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from prefect import task
from prefect.logging import get_run_logger

from tasks.bookkeeping import Summary
from tasks.caching import PERSISTED, content_key
from tasks.pictures import publish_curves
from tasks.process import ProcessFailed, watch
from tasks.progress import progress
from tasks.retrying import retried
from wmsd_core import store, worldtasks
from wmsd_core.models import ModelsConfig, base_checksum, generator
from wmsd_core.training import launch, records
from wmsd_core.training.config import KEPT, TrainConfig
from wmsd_core.training.examples import Example, load_examples
from wmsd_core.training.launch import LaunchConfig
from wmsd_core.training.lock import alone
from wmsd_core.training.records import RunFolder
from wmsd_core.training.run import Run, read_run
from wmsd_core.unicode import visible
from wmsd_core.workspace import Workspace

REMARKS = 200
"""Lines of the training process's own words in the log of a run."""
RECORD_EVERY = 15.0
"""Seconds between two copies of the metrics into the store while a run is going on."""
LEADER_COMES = 1800.0
"""Seconds in which the machine that leads a run of several has begun it."""


def planned_run(workspace: Path, config: TrainConfig, models: ModelsConfig) -> RunFolder:
    """The run that these settings and the present training set name, whether it has begun or not."""
    place = Workspace(workspace)
    base = base_checksum(models, place.features)
    return records.run_folder(place.training, Run(config=config, models=models), base, examples(place, config))


def settings_of(workspace: Path, run_id: str, models: ModelsConfig) -> tuple[TrainConfig, ModelsConfig]:
    """What a run that has begun in this workspace was given; `models` where a run has no say.

    Raises:
        ValueError: there is no such run.
    """
    root = Workspace(workspace).training
    runs = sorted(path.parent.name for path in root.glob("*/run.json"))
    if run_id not in runs:
        raise ValueError(f"there is no training run '{run_id}' in {root}; there are: {', '.join(runs) or 'none'}")
    run = read_run(root / run_id)
    return run.config, run.models.model_copy(update={"writer": models.writer})


def record_run(workspace: Path, config: TrainConfig, models: ModelsConfig) -> None:
    """Brings the store up to date with a finished run."""
    place = Workspace(workspace)
    records.record(place.store, _prepared(place, config, models, examples(place, config)))


def examples(place: Workspace, config: TrainConfig) -> list[Example]:
    """What these settings train on: the training split, or the recordings of the arm `sft`.

    Raises:
        ValueError: there is none.
    """
    return _recordings(config) if config.arm == "sft" else training_split(place)


def training_split(place: Workspace) -> list[Example]:
    """The tasks of the workspace that are trained on.

    Raises:
        ValueError: there is none.
    """
    with store.reading(place.store) as con:
        found = [
            Example(
                pair_id=pair.pair_id,
                image=pair.path.absolute(),
                task=pair.task,
                solution=pair.solution,
                sha256=pair.frame_id,
            )
            for pair in worldtasks.split_pairs(con, "train")
        ]
    if not found:
        raise ValueError("there is no training task: run the generate stage first, or loosen the filter")
    return found


def _recordings(config: TrainConfig) -> list[Example]:
    if config.recordings is None:
        raise ValueError(
            "arm 'sft' learns from recorded videos: name their tasks with `wmsd label-videos VIDEOS FOLDER`, and set "
            "train.recordings=FOLDER"
        )
    file = (config.recordings / "examples.jsonl").absolute()
    found = load_examples(file) if file.is_file() else []
    if not found:
        raise ValueError(f"there is no labelled recording in {file}: `wmsd label-videos VIDEOS {file.parent}` makes it")
    return found


def forget_run(run: RunFolder) -> None:
    """Deletes a run's checkpoints, metrics and adapter, so that it is trained from the start.

    Raises:
        ValueError: a process is training in the folder.
    """
    if run.path.is_dir():
        with alone(run.path, patience=0):
            shutil.rmtree(run.path)


@task(name="train", **retried(2, 10), cache_key_fn=content_key, **PERSISTED)
def train(workspace: Path, run_id: str, config: TrainConfig, models: ModelsConfig, launching: LaunchConfig) -> Summary:
    """Runs the training processes to their end and copies its metrics into the store as they come."""
    place = Workspace(workspace)
    dataset = examples(place, config)
    folder = _prepared(place, config, models, dataset)
    get_run_logger().info(f"run {run_id}: {len(dataset)} examples, {config.steps} steps, in {folder.path}")
    recorded = time.monotonic()
    mistakes: list[str] = []
    with progress(f"train {config.arm}", key="training") as report:

        def follow(line: str) -> None:
            nonlocal recorded
            event: dict[str, Any] = json.loads(line)
            _log(event, config)
            if event["event"] == "error":
                mistakes.append(event["reason"])
            if event["event"] in ("start", "step"):
                report(event["step"], event["steps"])
            if time.monotonic() - recorded > RECORD_EVERY:
                recorded = time.monotonic()
                records.record(place.store, folder)
                publish_curves(workspace, folder)

        try:
            command = launch.command(folder.path, launching, place.features)
            watch(command, follow, log=folder.path / "process.log", on_remark=_remarks(folder.path))
        except ProcessFailed as failure:
            if not mistakes:
                raise
            # The run's own words, which torchrun buries under a traceback of its own. It reports mistakes of the user's and
            # nothing else as errors, so this is one here too: told once, and not tried again.
            raise ValueError(mistakes[0]) from failure
    records.record(place.store, folder)
    publish_curves(workspace, folder)
    return {"run": run_id, "examples": len(dataset), "steps": config.steps, "adapter": folder.checksum}


def _log(event: Mapping[str, Any], config: TrainConfig) -> None:
    """What a person is told of an event of the training process."""
    log = get_run_logger()
    match event["event"]:
        case "start":
            each = event["checkpoint_bytes"] / 2**20
            log.info(
                f"a checkpoint takes {each:.0f} MiB; the last {KEPT} are kept, every {config.checkpoint_every} steps"
            )
        case "damaged checkpoint":
            log.warning(f"an older checkpoint is used: {event['reason']}")
        case "warning":
            log.warning(event["reason"])
        case "stopped":
            log.warning(
                f"training stopped at step {event['step']} of {config.steps}; its checkpoint is kept, and the same "
                "command, or the same run of the UI, goes on from there"
            )
        case _:
            pass


def _remarks(folder: Path) -> Callable[[str], None]:
    """What the training process writes to its error output goes into the run's log, up to a number of lines."""
    log, told = get_run_logger(), 0

    def remark(line: str) -> None:
        nonlocal told
        told += 1
        if told <= REMARKS:
            log.info(visible(line))
        elif told == REMARKS + 1:
            log.info(f"and more, in {folder / 'process.log'}")

    return remark


def trained(
    workspace: Path, config: TrainConfig, models: ModelsConfig, launching: LaunchConfig, refresh: bool = False
) -> tuple[RunFolder, Summary]:
    """The run with these settings, trained to its end: kept if it is finished, resumed if it was interrupted; and its summary.

    Raises:
        ValueError: the settings are refused, or training has left no whole adapter.
    """
    run = planned_run(workspace, config, models)
    if refresh:
        forget_run(run)
    before = run.checksum  # of the files themselves: '' if never finished, lost or damaged, whatever a cache says
    if before:
        record_run(workspace, config, models)  # the store may have been restored from a backup
    summary = train.with_options(refresh_cache=not before)(workspace, run.run_id, config, models, launching)
    if not run.checksum:
        raise ValueError(f"training has ended well and left no whole adapter in {run.adapter}: run it again")
    told = {"steps": config.steps, "adapter": run.checksum, "trained": "before" if before else "now"}
    return run, summary | told


def join_run(workspace: Path, config: TrainConfig, models: ModelsConfig, launching: LaunchConfig) -> Summary:
    """Lends this machine to a run of several, whose stage runs on another: waits for the run's folder there, then trains.

    Raises:
        ValueError: the run is one of a single machine, or nobody has begun it.
        ProcessFailed: the run has failed; the next try, on all machines, goes on from its checkpoint.
    """
    if launching.nodes == 1:
        raise ValueError(
            "--join lends this machine to a run of several: set launch.nodes and launch.rendezvous as there"
        )
    folder, waited = planned_run(workspace, config, models), 0.0
    while not (folder.path / "examples.jsonl").is_file():
        if waited > LEADER_COMES:
            raise ValueError(
                f"nobody leads a run in {folder.path}: give the same command without --join on another machine, with the "
                "same settings and workspace"
            )
        time.sleep(1)
        waited += 1
    log = folder.path / f"process-{socket.gethostname()}.log"
    watch(launch.command(folder.path, launching, Workspace(workspace).features), lambda _: None, log=log)
    return {"run": folder.run_id, "adapter": folder.checksum}


def rehearse_run(
    workspace: Path,
    config: TrainConfig,
    models: ModelsConfig,
    launching: LaunchConfig,
    tell: Callable[[str, Any], None],
) -> Summary:
    """What the run of these settings would reach, need and take: told as it is found, and together at the end.

    Raises:
        ValueError: something cannot be reached or read, or the run does not fit.
    """
    from wmsd_core.training.rehearsal import rehearse  # reads diffusers, which takes seconds

    place, found = Workspace(workspace), Summary()

    def keep(subject: str, finding: Any) -> None:
        tell(subject, finding)
        found[subject] = finding

    rehearse(
        Run(config=config, models=models),
        examples(place, config),
        launching,
        features=place.features,
        disk=place.root,
        tell=keep,
    )
    return found


def merge_run(
    workspace: Path, config: TrainConfig, models: ModelsConfig, out: Path, adapter: Path | None = None
) -> Summary:
    """Writes the generator with an adapter merged into its weights; without one, with that of the finished run.

    Raises:
        ValueError: the run is not finished, or the generator has no weights in the layout of diffusers.
    """
    from wmsd_core.training.merging import write_merged  # reads diffusers, which takes seconds

    chosen = adapter or planned_run(workspace, config, models).adapter
    write_merged(generator(models, Workspace(workspace).features), chosen, out)
    return {"adapter": str(chosen), "pipeline": str(out)}


def _prepared(place: Workspace, config: TrainConfig, models: ModelsConfig, dataset: Sequence[Example]) -> RunFolder:
    """The folder of a run, with what the training process reads, and its row in the store."""
    base, run = base_checksum(models, place.features), Run(config=config, models=models)
    folder = records.run_folder(place.training, run, base, dataset)
    records.prepare(place.store, folder, run, base, dataset)
    return folder
