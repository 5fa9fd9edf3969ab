"""A training run in a folder: started, killed, resumed and finished by the same command.

    RUN/run.json          a `Run`: {"config": {...}, "models": {"generator": "miniature", ...}}, written by the user
    RUN/examples.jsonl    one example per line, likewise
    RUN/checkpoints/      the last two
    RUN/metrics.jsonl     one line per step
    RUN/samples/          a rollout as GIF, beside each checkpoint
    RUN/best/             the averaged adapter that did best on held-out tasks, with its step and score, where there are any
    RUN/adapter/          at the end: the averaged adapter, for diffusers and peft, with its SHA-256, step and origin
    RUN/adapter-STEP/     those of an earlier end, where the run was made longer, and of the steps that `keep_every` names
    RUN/demonstrator/     likewise the Demonstrator's, where it was trained

A run is what shapes its steps: with more `steps`, in smaller `micro_batch`es, or moved elsewhere, it is the same run. A
rerun continues from the newest intact checkpoint, and ends with the adapter that an undisturbed run ends with, to the
last bit.
"""

import argparse
import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, TextIO, get_args

import torch

from wmsd_core import leftovers
from wmsd_core.config import digest
from wmsd_core.generators.protocol import Adapter
from wmsd_core.models import generator, vlm
from wmsd_core.training import metrics
from wmsd_core.training.adapters import publish, start_from
from wmsd_core.training.checkpoint import Checkpoint, load, load_newest, save
from wmsd_core.training.config import KEPT
from wmsd_core.training.credit import silenced
from wmsd_core.training.deliveries import intact, kept, make_way, published, step_of
from wmsd_core.training.distributed import ALONE, World, join
from wmsd_core.training.encoding import encode_ahead, upcoming
from wmsd_core.training.examples import Example, check_images, load_examples
from wmsd_core.training.held_out import HeldOut, divided, keep_best
from wmsd_core.training.lineage import FILES, Lineage, begin
from wmsd_core.training.lock import alone
from wmsd_core.training.loop import Diverged, Trainer
from wmsd_core.training.run import Run, pickscore_of, read_run
from wmsd_core.training.tracking import Cautious, Tracker, track

_SILENT = (
    "reward {name} told no two rollouts of a task apart at step {step}: all differences are below its floor in train.rewards "
    "(flat of the metrics counts such groups)"
)
Tell = Callable[[dict[str, Any]], None]
"""Takes one event, as plain JSON."""
PATIENCE = 60.0
"""Seconds to wait for a predecessor in the same folder to finish its step."""


def train(
    folder: Path,
    *,
    stop: Callable[[], bool],
    report: Tell,
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
    config, tell = run.config, report if world.leads else lambda _: None
    examples = load_examples(folder / "examples.jsonl")
    learned, tried = divided(examples, config.held_out.tasks) if config.held_out.every else (examples, list[Example]())
    judge = vlm(run.models, run.models.judge, folder / "requests.sqlite") if config.asks_judge or tried else None
    base = generator(run.models, features or folder / "features", split=world.sharded)
    trainer = Trainer(config, base, learned, judge, pickscore_of(run), world)
    if run.adapter:
        start_from(base, run.adapter)
    begun = _begin(folder, config.start, world)
    identity = _identity(run, base.checksum, examples, begun)
    _resume(trainer, folder, identity, begun, tell)
    if trainer.steps_done > config.steps:
        tell({"event": "finished", "step": config.steps, "adapter": str(_of_a_shorter_run(trainer, folder))})
        return True
    needed = _room(folder, trainer) if world.leads else 0
    if world.leads:
        metrics.truncate(folder / "metrics.jsonl", trainer.steps_done)
    tell({"event": "start", "step": trainer.steps_done, "steps": config.steps, "checkpoint_bytes": needed})
    held_out = HeldOut(trainer, tried, judge) if tried and judge else None
    _read_ahead(run, trainer, tried)
    tracking = _tracking(run, trainer, folder, tracker, tell)
    try:
        finished = _run_steps(trainer, held_out, folder, identity, stop=stop, tell=tell, tracking=tracking)
    finally:
        tracking.close()
    if finished:
        if world.leads:
            _publish(trainer, folder, begun)
        tell({"event": "finished", "step": trainer.steps_done, "adapter": str(folder / "adapter")})
    return finished


def _begin(folder: Path, start: Path | None, world: World) -> Lineage | None:
    """Clears what a kill has left, and brings into the folder the checkpoint of another run that this one begins at."""
    if world.leads:
        for left in leftovers.of_run(folder):
            leftovers.remove(left)
        begin(folder, start)
    world.barrier()  # whatever the run goes on from is in its folder
    return begin(folder, start)


def _identity(run: Run, base: str, examples: Sequence[Example], begun: Lineage | None) -> dict[str, Any]:
    """What checkpoints must agree with."""
    return run.identity() | {
        "base": base,
        "examples": digest([example.content() for example in examples]),
        "adapter": intact(run.adapter) if run.adapter else None,
        "start": begun.sha256 if begun else None,
    }


def _resume(trainer: Trainer, folder: Path, identity: dict[str, Any], begun: Lineage | None, tell: Tell) -> None:
    """Goes back to the newest intact checkpoint; without one to where the run begins."""
    checkpoint, damage = load_newest(folder / "checkpoints", identity)
    for fault in damage:
        tell({"event": "damaged checkpoint", "reason": fault})
    if checkpoint is None and begun:
        checkpoint = _fitting(load(folder / FILES), trainer, begun)
    if checkpoint:
        trainer.restore(checkpoint)


def _of_a_shorter_run(trainer: Trainer, folder: Path) -> Path:
    """The adapter of a run that has gone on to more steps since.

    Raises:
        ValueError: it is lost or damaged.
    """
    steps = trainer.config.steps
    if not intact(published(folder, steps)):
        raise ValueError(
            f"{folder} has been trained to step {trainer.steps_done} already, and has no adapter of step "
            f"{steps}: set train.steps to {trainer.steps_done} or more, or train it afresh with `refresh`"
        )
    return published(folder, steps)


def _read_ahead(run: Run, trainer: Trainer, tried: Sequence[Example]) -> None:
    """Looks at every picture of the steps to come, and lets a pretrained generator encode texts and pictures.

    Raises:
        ValueError: a picture is missing or damaged.
    """
    ahead = [trainer.examples[n] for n in upcoming(trainer.groups, run.config, trainer.steps_done)]
    ahead += tried
    check_images(ahead)
    if run.models.settings:
        encode_ahead(trainer.generator, ahead)


def _tracking(run: Run, trainer: Trainer, folder: Path, tracker: Tracker, tell: Tell) -> Cautious:
    return Cautious(
        lambda: track(
            tracker if trainer.world.leads else "none",
            folder,
            run=folder.name,
            settings=run.model_dump(mode="json"),
            resumed_at=trainer.steps_done,
        ),
        warn=lambda reason: tell({"event": "warning", "reason": reason}),
    )


def _publish(trainer: Trainer, folder: Path, begun: Lineage | None) -> None:
    """Delivers the adapters of the last step, unless they are there and whole; those of an earlier last step stay beside."""
    step, settings = trainer.steps_done, trainer.config.adapter
    make_way(folder, step)
    about = {"step": step, "start": begun.model_dump(mode="json") if begun else None}
    wanted: tuple[tuple[Adapter, str], ...] = (("demonstrator", "demonstrator"), ("ema", "adapter"))
    for name, place in wanted:
        if name in trainer.adapters and not (intact(folder / place) and step_of(folder / place) == step):
            publish(trainer.generator, folder / place, name=name, rank=settings.rank, alpha=settings.alpha, about=about)


def _keep(trainer: Trainer, folder: Path) -> None:
    """Keeps the averaged weights of this step, unless an earlier passage has."""
    place, settings = kept(folder, trainer.steps_done), trainer.config.adapter
    if not intact(place):
        about = {"step": trainer.steps_done}
        publish(trainer.generator, place, name="ema", rank=settings.rank, alpha=settings.alpha, about=about)


def _fitting(checkpoint: Checkpoint, trainer: Trainer, begun: Lineage) -> Checkpoint:
    """The checkpoint, if it has the weights that these settings train.

    Raises:
        ValueError: it does not.
    """
    mine = {
        f"{adapter}.{name}": weight.shape
        for adapter, weights in trainer.adapters.items()
        for name, weight in weights.items()
    }
    if wrong := [
        key for key, shape in mine.items() if key not in checkpoint.tensors or checkpoint.tensors[key].shape != shape
    ]:
        raise ValueError(
            f"train.start: {begun.checkpoint} does not fit these settings ({wrong[0]} and {len(wrong) - 1} more differ): arm, "
            "policy and train.adapter.rank must need the same adapters as the run that it comes from"
        )
    return checkpoint


def _room(folder: Path, trainer: Trainer) -> int:
    """Bytes of a checkpoint, once it is sure that the disk has room for all that are kept.

    Raises:
        ValueError: it has not.
    """
    trained = {name for lesson in trainer.config.lessons for name in lesson.learners}
    each = sum(
        weight.numel() * weight.element_size() * (3 if name in trained else 1)  # weights and Adam's two moments
        for name, weights in trainer.adapters.items()
        for weight in weights.values()
    )
    there = len(list((folder / "checkpoints").glob("step-*")))
    needed, free = each * max(KEPT + 1 - there, 1), shutil.disk_usage(folder).free
    if needed > free:
        raise ValueError(
            f"a checkpoint takes {each / 2**20:.0f} MiB, up to {KEPT + 1} lie on the disk at a time, and the disk of {folder} "
            f"has {free / 2**20:.0f} MiB left: free some space, or lower train.adapter.rank"
        )
    return each


def _run_steps(
    trainer: Trainer,
    held_out: HeldOut | None,
    folder: Path,
    identity: dict[str, Any],
    *,
    stop: Callable[[], bool],
    tell: Tell,
    tracking: Cautious,
) -> bool:
    """Steps, metrics and checkpoints until the last step, or until some process is told to stop."""
    config, world = trainer.config, trainer.world
    told: set[str] = set()
    while trainer.steps_done < config.steps:
        try:
            row = trainer.step()
        except Diverged as error:
            raise Diverged(f"{error}: {_calmer(trainer, folder)}") from error
        if held_out and trainer.steps_done % config.held_out.every == 0:
            row["held_out"] = held_out.scores()
            if world.leads:
                keep_best(trainer, folder, row["held_out"]["score"])
        for name in set(silenced(row, config)) - told:
            told.add(name)
            tell({"event": "warning", "reason": _SILENT.format(name=name, step=row["step"])})
        if world.leads:
            metrics.append(folder / "metrics.jsonl", row)
        tell({"event": "step", "steps": config.steps} | row)
        tracking.log(trainer.steps_done, {name: value for name, value in metrics.flat(row) if value is not None})
        last = trainer.steps_done == config.steps
        if config.keep_every and trainer.steps_done % config.keep_every == 0 and not last and world.leads:
            _keep(trainer, folder)  # before the checkpoint: a run that is killed in between comes by here once more
        stopped = not last and bool(world.largest(torch.tensor(float(stop()))))
        if last or stopped or trainer.steps_done % config.checkpoint_every == 0:
            save(folder / "checkpoints", trainer.checkpoint(), identity, world)
            if world.leads:
                tracking.sample(folder, trainer.steps_done, trainer.sample)
        if stopped:
            tell({"event": "stopped", "step": trainer.steps_done})
            return False
    return True


def _calmer(trainer: Trainer, folder: Path) -> str:
    """What brings a run that has diverged back. Its last checkpoints may be beyond help: they were written on the way there."""
    config = trainer.config
    cure = (
        f"lower train.optimizer.learning_rate, which is {config.optimizer.learning_rate:g}, or raise the reward floors"
    )
    there = sorted((folder / "checkpoints").glob("step-*"), reverse=True) + ([config.start] if config.start else [])
    if not there:
        return f"{cure}, and run it with these settings; it has no checkpoint yet"
    again = ", ".join([*(f"from {path}" for path in there[1:]), "without --from"])
    return f"{cure}, and go on with these settings by `wmsd train --from {there[0]}`; where that diverges too, {again}"


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


def main(arguments: list[str], events: TextIO) -> int:
    """`python -m wmsd_core.training RUN [FEATURES]`: 0 finished, 2 a mistake in the folder, 128 + n stopped by signal n.

    SIGTERM and SIGINT end the run after the current step, with a checkpoint, and with `--with-parent` so does the end of
    standard input. One line of JSON per event goes to `events`. Under torchrun, several processes make one run, and `--shard`
    splits the frozen base over them.
    """
    options = _arguments().parse_args(arguments)
    received: list[int] = []
    report = partial(_write, events)

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
                report=report,
                world=world,
                features=options.features,
                tracker=options.tracker,
            )
    except ValueError as error:
        report({"event": "error", "reason": str(error)})
        sys.stderr.write(f"{error}\n")
        return 2
    # Another process of the run may be the one that was told to stop.
    return 0 if finished else 128 + (received or [signal.SIGTERM])[0]


def be_deterministic(on: bool = True) -> None:
    """One thread and deterministic kernels: the price of resuming to the last bit."""
    torch.set_num_threads(1)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(on)


def _write(events: TextIO, event: dict[str, Any]) -> None:
    try:
        events.write(metrics.as_line(event) + "\n")
        events.flush()
    except BrokenPipeError:
        # Nobody listens any more. The run is to end with a checkpoint, not with this.
        os.dup2(os.open(os.devnull, os.O_WRONLY), events.fileno())
