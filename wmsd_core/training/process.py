"""A training run in a folder: started, killed, resumed and finished by the same command.

    RUN/run.json          {"config": {...}, "generator": "miniature", "judge": "miniature"}, written by the user
    RUN/examples.jsonl    one example per line, likewise
    RUN/checkpoints/      the last two
    RUN/metrics.jsonl     one line per step
    RUN/samples/          a rollout as GIF, beside each checkpoint
    RUN/adapter/          at the end: the averaged adapter, for diffusers and peft, with its SHA-256
    RUN/demonstrator/     likewise the Demonstrator's, where it was trained

A rerun continues from the newest intact checkpoint, and ends with the adapter that an undisturbed run ends with, to the
last bit.
"""

import argparse
import fcntl
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import FrameType
from typing import Any, get_args

import torch
from pydantic import ValidationError

from wmsd_core import models
from wmsd_core.config import Config
from wmsd_core.generators.settings import GeneratorConfig
from wmsd_core.rewards.pickscore import PickScore
from wmsd_core.rewards.published import PICKSCORE, PICKSCORE_PROCESSOR
from wmsd_core.training import metrics
from wmsd_core.training.adapters import publish, start_from
from wmsd_core.training.checkpoint import load_newest, save, sha256
from wmsd_core.training.config import TrainConfig
from wmsd_core.training.distributed import ALONE, World, join
from wmsd_core.training.encoding import encode_ahead, upcoming
from wmsd_core.training.examples import load_examples
from wmsd_core.training.loop import Trainer
from wmsd_core.training.tracking import Tracker, Tracking, track, write_sample
from wmsd_core.vlm.settings import LocalConfig, ServerConfig

PATIENCE = 60.0
"""Seconds to wait for a predecessor in the same folder to finish its step."""


class Run(Config):
    """The content of `run.json`."""

    incidental = frozenset({"settings"})  # the base's checksum stands for them: where weights lie and run may change

    config: TrainConfig
    """Settings of the training."""
    generator: str
    """A known generator, or `package.module:factory`."""
    settings: GeneratorConfig | None = None
    """Settings of a generator with pretrained weights."""
    judge: str | None = None
    """A known judge, or `package.module:factory`. Arms without judged rewards need none."""
    pickscore: str = PICKSCORE
    """PickScore's model: a folder, or its name on a hub. Loaded where `rewards.pickscore` has a weight."""
    pickscore_processor: str = PICKSCORE_PROCESSOR
    """Its processor, likewise."""
    server: ServerConfig = ServerConfig()
    """The judge's server, where the judge is `vllm`."""
    local: LocalConfig = LocalConfig()
    """The judge, where it is `transformers`."""
    adapter: Path | None = None
    """Folder of a finished run's adapter to start from. None: start from the base."""


def train(
    folder: Path,
    *,
    stop: Callable[[], bool],
    report: Callable[[dict[str, Any]], None],
    features: Path | None = None,
    world: World = ALONE,
    tracker: Tracker = "none",
) -> bool:
    """Trains until the last step, or until `stop` says so after a step; True when the run is finished.

    Generators with pretrained weights read all texts and images first, and keep the features in the folder `features`
    (None: in the run's), so that the text encoders are gone when training starts. With several processes,
    each calls this; any of them can be told to stop, and the first one reports and writes.

    Raises:
        ValueError: the folder's settings or examples are wrong, or its checkpoints belong to other ones.
    """
    run = read_run(folder)
    examples_file = folder / "examples.jsonl"
    trainer = Trainer(
        run.config,
        models.generator(run.generator, run.settings, features or folder / "features", split=world.sharded),
        load_examples(examples_file),
        models.vlm(run.judge, run.server, run.local, folder / "requests.sqlite")
        if run.judge and run.config.judged
        else None,
        PickScore(run.pickscore, run.pickscore_processor) if "pickscore" in run.config.video_rewards else None,
        world,
    )
    if run.adapter:
        start_from(trainer.generator, run.adapter)
    identity = run.identity() | {
        "base": trainer.generator.checksum,
        "examples": sha256(examples_file),
    }
    tell = report if world.leads else lambda _: None

    checkpoint, damage = load_newest(folder / "checkpoints", identity)
    for fault in damage:
        tell({"event": "damaged checkpoint", "reason": fault})
    if checkpoint:
        trainer.restore(checkpoint)
    if world.leads:
        metrics.truncate(folder / "metrics.jsonl", trainer.steps_done)
    tell({"event": "start", "step": trainer.steps_done, "steps": run.config.steps})
    if run.settings:
        ahead = upcoming(trainer.groups, run.config.steps - trainer.steps_done)
        encode_ahead(trainer.generator, [trainer.examples[number] for number in ahead])
    tracking = track(
        tracker if world.leads else "none",
        folder,
        run=folder.name,
        settings=run.model_dump(mode="json"),
        resumed_at=trainer.steps_done,
    )
    try:
        finished = _run_steps(trainer, folder, identity, stop=stop, tell=tell, tracking=tracking)
    finally:
        tracking.close()
    if not finished:
        return False
    if world.leads and not (folder / "adapter").exists():
        rank, alpha = run.config.adapter.rank, run.config.adapter.alpha
        if "demonstrator" in trainer.adapters:
            publish(trainer.generator, folder / "demonstrator", name="demonstrator", rank=rank, alpha=alpha)
        publish(trainer.generator, folder / "adapter", rank=rank, alpha=alpha)
    tell({"event": "finished", "step": trainer.steps_done, "adapter": str(folder / "adapter")})
    return True


def _run_steps(
    trainer: Trainer,
    folder: Path,
    identity: dict[str, Any],
    *,
    stop: Callable[[], bool],
    tell: Callable[[dict[str, Any]], None],
    tracking: Tracking,
) -> bool:
    """Steps, metrics and checkpoints until the last step, or until some process is told to stop."""
    config, world = trainer.config, trainer.world
    while trainer.steps_done < config.steps:
        row = trainer.step()
        if world.leads:
            metrics.append(folder / "metrics.jsonl", row)
        tell({"event": "step", "steps": config.steps} | row)
        tracking.log(trainer.steps_done, {name: value for name, value in metrics.flat(row) if value is not None})
        last = trainer.steps_done == config.steps
        stopped = not last and bool(world.largest(torch.tensor(float(stop()))))
        if last or stopped or trainer.steps_done % config.checkpoint_every == 0:
            save(folder / "checkpoints", trainer.checkpoint(), identity, world)
            if world.leads and (video := trainer.sample()) is not None:
                tracking.video(trainer.steps_done, "rollout", write_sample(folder, trainer.steps_done, video))
        if stopped:
            tell({"event": "stopped", "step": trainer.steps_done})
            return False
    return True


def read_run(folder: Path) -> Run:
    """`run.json` of a folder.

    Raises:
        ValueError: it is missing or has wrong settings.
    """
    path = folder / "run.json"
    if not path.is_file():
        raise ValueError(f"{folder} is not a training run: it has no run.json")
    try:
        return Run.model_validate_json(path.read_text(encoding="utf-8"))
    except ValidationError as error:
        raise ValueError(f"{path}: {error}") from error


@contextmanager
def alone(folder: Path, patience: float) -> Generator[None]:
    """Holds the folder's lock: two processes in one folder would spoil each other's checkpoints.

    Waits for `patience` seconds, since a predecessor that was told to stop finishes its step first. The kernel drops the
    lock of a process that dies.

    Raises:
        ValueError: there is no such folder, or another process trains in it.
    """
    if not folder.is_dir():
        raise ValueError(f"there is no run in {folder}")
    deadline = time.monotonic() + patience
    with (folder / "lock").open("w") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > deadline:
                    raise ValueError(f"another process is training in {folder}; wait for it, or stop it") from error
                time.sleep(0.1)
        yield


def _stop_with_parent() -> None:
    """Waits until standard input closes, which it does when whoever started this process is gone, however it went."""
    # The descriptor itself: a thread inside sys.stdin would hold its lock when the interpreter shuts down, and abort it.
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m wmsd_core.training", description="Train, or go on training, in a folder."
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="folder with run.json and examples.jsonl")
    parser.add_argument("--with-parent", action="store_true", help="stop when standard input ends")
    parser.add_argument("--shard", action="store_true", help="split the frozen base over the processes of torchrun")
    parser.add_argument("--tracker", choices=get_args(Tracker), default="none", help="where curves go besides RUN")
    parser.add_argument("--features", type=Path, metavar="DIR", help="keep features of texts and images there")
    return parser


def main(arguments: list[str]) -> int:
    """`python -m wmsd_core.training RUN [FEATURES]`: 0 finished, 2 a mistake in the folder, 128 + n stopped by signal n.

    SIGTERM and SIGINT end the run after the current step, with a checkpoint, and with `--with-parent` so does the end of
    standard input. One line of JSON per event on stdout. Under torchrun, several processes make one run, and `--shard`
    splits the frozen base over them.
    """
    options = _arguments().parse_args(arguments)
    received: list[int] = []

    def remember(number: int, _: FrameType | None) -> None:
        received.append(number)

    be_deterministic()
    if options.with_parent:
        threading.Thread(target=_stop_with_parent, daemon=True).start()
    try:
        with (
            join(shard=options.shard) as world,
            alone(options.run, PATIENCE) if world.leads else nullcontext(),
        ):
            # Until now there was nothing to save, and whoever waits for processes that are gone would wait half an hour.
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, remember)
            finished = train(
                options.run,
                stop=lambda: bool(received),
                report=_print,
                world=world,
                features=options.features,
                tracker=options.tracker,
            )
    except ValueError as error:
        _print({"event": "error", "reason": str(error)})
        sys.stderr.write(f"{error}\n")
        return 2
    # Another process of the run may be the one that was told to stop.
    return 0 if finished else 128 + (received or [signal.SIGTERM])[0]


def be_deterministic(on: bool = True) -> None:
    """One thread and deterministic kernels: the price of resuming to the last bit."""
    torch.set_num_threads(1)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(on)


def _print(event: dict[str, Any]) -> None:
    try:
        sys.stdout.write(json.dumps(event) + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        # Nobody listens any more. The run is to end with a checkpoint, not with this.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
