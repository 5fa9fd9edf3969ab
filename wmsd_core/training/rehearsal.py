"""A rehearsal of a run: all that it will need is reached, looked at and counted, and one small step is taken and timed.

What can be known without loading the network comes first, so that a run that cannot fit is told so in minutes. Nothing is left
behind but features of the texts and images of the small step, which the run will find.
"""

import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil
import torch
from PIL import Image

from wmsd_core import models
from wmsd_core.generators.pretrained import PretrainedGenerator
from wmsd_core.generators.protocol import Generator
from wmsd_core.training import needs
from wmsd_core.training.adapters import attach
from wmsd_core.training.arms import Lesson
from wmsd_core.training.config import RecallConfig, TrainConfig
from wmsd_core.training.encoding import encode_ahead, upcoming
from wmsd_core.training.examples import Example, check_images, load_images
from wmsd_core.training.footprint import footprint
from wmsd_core.training.groups import GroupSampler
from wmsd_core.training.launch import LaunchConfig
from wmsd_core.training.loop import Trainer
from wmsd_core.training.needs import GIB, Proposal, Room, Sizes
from wmsd_core.training.passes import latents_per_pass, learning_passes, recall_passes, sampling_passes
from wmsd_core.training.run import Run, pickscore_of

Tell = Callable[[str, Any], None]
"""Takes a subject and what was found about it, as soon as it is known."""

ONCE = ("optimizer", "average")
"""Stages of a step whose time does not depend on the number of samples."""


def rehearse(
    run: Run, examples: Sequence[Example], launch: LaunchConfig, *, features: Path, disk: Path, tell: Tell
) -> None:
    """Tells what the run reaches and needs, and how long it takes.

    Args:
        run: settings of the run.
        examples: what it is trained on.
        launch: its processes.
        features: folder of the features of pretrained generators.
        disk: a folder on the disk of its checkpoints.
        tell: takes each finding.

    Raises:
        ValueError: something cannot be reached or read, or the run does not fit; the message says which setting would help.
    """
    config = run.config
    generator = models.generator(run.models, features)
    room = _room(generator, disk)
    tell("generator", _named(generator))
    judge = models.vlm(run.models, run.models.judge) if config.asks_judge else None
    if judge is not None:
        tell("judge", judge.name)
    pickscore = pickscore_of(run)
    if pickscore is not None:
        tell("pickscore", pickscore.name)
    check_images(examples)
    tell("pictures", sizes_of(examples))
    if pretrained := _pretrained(generator):
        tell("tokens of a video", pretrained.tokens)
    small = small_step(config, launch.world)
    longest = {kind: max((getattr(example, kind) for example in examples), key=len) for kind in ("task", "solution")}
    groups, few = GroupSampler(len(examples), small.tasks_per_step, config.seed), {"steps": len(config.lessons)}
    some = [examples[n] for n in upcoming(groups, small.model_copy(update=few), 0)]
    encode_ahead(generator, [some[0].model_copy(update=longest), *some])
    beside = pickscore.bytes if pickscore else 0
    proposal = Proposal(config, launch, _sizes(generator, some[0].model_copy(update=longest), config, beside))
    for place, parts in (("device", needs.on_device(proposal)), ("host", needs.on_host(proposal))):
        tell(f"{place} GiB", {name: size / GIB for name, size in parts.items() if size})
    tell("checkpoint MiB", needs.checkpoint(proposal) / 2**20)
    for phase, lesson in enumerate(config.lessons, start=1):
        tell(
            "passes of a step" if len(config.lessons) == 1 else f"passes of a step, phase {phase}",
            _passes(config, lesson),
        )
    if wrong := needs.complaint(proposal, room, run.models.generator, run.models.settings):
        raise ValueError(wrong)
    if launch.shard:
        tell("seconds of a step", "not measured: the base is to be split over several processes")
        return
    acting = models.generator(run.models, features)
    seconds, memory = _measured(run, Trainer(small, acting, examples, judge, pickscore), launch.world)
    tell("seconds of a step", seconds)
    if memory:
        tell("device GiB of the small step, before there are moments", memory)
    tell("hours", sum(seconds.values()) * _steps(config) / 3600)


def _passes(config: TrainConfig, lesson: Lesson) -> dict[str, int]:
    """Of all samples of a step."""
    learning = learning_passes(config, lesson)
    forward = sampling_passes(config, lesson).all + learning.all
    return {"forward": forward, "of these with backward": learning.trained}


def _steps(config: TrainConfig) -> float:
    """The run's steps, those of the warm-up at what their passes are worth in steps of the arm."""
    lesson, warm_up = config.lessons[-1], min(config.warm_up, config.steps)
    whole = sampling_passes(config, lesson).all + learning_passes(config, lesson).all
    return config.steps - warm_up + warm_up * recall_passes(config, lesson).all / whole


def sizes_of(examples: Sequence[Example]) -> dict[str, int]:
    """Sizes of the pictures and how many have them; the most frequent ones, and the rest together."""
    found: Counter[str] = Counter()
    for path in {example.image for example in examples}:
        with Image.open(path) as picture:
            found[f"{picture.width}x{picture.height}"] += 1
    common = dict(found.most_common(5))
    return common | ({"of other sizes": found.total() - sum(common.values())} if len(found) > 5 else {})


def _named(generator: Generator) -> str:
    pretrained = _pretrained(generator)
    return f"{generator.name} in {pretrained.folder}" if pretrained else generator.name


def _pretrained(generator: object) -> PretrainedGenerator | None:
    return generator if isinstance(generator, PretrainedGenerator) else None


def _sizes(generator: Generator, example: Example, config: TrainConfig, beside: int) -> Sizes:
    """Without loading the network where that is possible."""
    image, texts = load_images([example]), [example.task]
    state = generator.noise(generator.encode(image, texts), [0])
    rank, alpha, pretrained = config.adapter.rank, config.adapter.alpha, _pretrained(generator)
    if pretrained is None:
        weights = sum(weight.nbytes for weight in generator.network.parameters())
        added = attach(generator, ("policy",), rank=rank, alpha=alpha, seed=0)["policy"]
        adapter = sum(weight.nbytes for weight in added.values())
        return Sizes(weights, weights, beside, adapter, {}, state.nbytes, generator.decode(state).nbytes)
    passes = {
        latents: footprint(pretrained, generator.encode(image * latents, texts * latents), rank=rank, alpha=alpha)
        for latents in {1, latents_per_pass(config)}
    }
    one, settings = passes[1], pretrained.config
    return Sizes(
        one.weights,
        one.narrow,
        one.vae + beside,
        one.adapter,
        {latents: found.backward for latents, found in passes.items()},
        state.nbytes,
        3 * settings.frames * settings.height * settings.width,
        one.decoding,
        one.tiled,
        pretrained.features.memory,
    )


def _room(generator: Generator, disk: Path) -> Room:
    """What is free now."""
    place = (
        next(generator.network.parameters()).device if not (pretrained := _pretrained(generator)) else pretrained.device
    )
    device = torch.cuda.mem_get_info(place)[0] if place.type == "cuda" else None
    return Room(device, psutil.virtual_memory().available, shutil.disk_usage(disk).free)


def _measured(run: Run, trainer: Trainer, processes: int) -> tuple[dict[str, float], dict[str, float]]:
    """Seconds of a whole step by stage, from a small one of each of the arm's phases, and the GPU's GiB of the latter."""
    config, small = run.config, trainer.config
    lengths = (config.alternating.demonstrator_steps, config.alternating.executor_steps)
    starts = dict(zip((0, lengths[0]), lengths, strict=True)) if len(config.lessons) > 1 else {0: 1}
    seconds: Counter[str] = Counter()
    memory: dict[str, float] = {}
    for start, weight in starts.items():
        trainer.steps_done = start
        row = trainer.step()
        lesson, samples = config.lesson_at(start), small.tasks_per_step * small.group_size
        sampled, learned = sampling_passes(small, lesson).all, learning_passes(small, lesson).all
        whole = config.tasks_per_step * config.group_size / processes / samples
        # Samples without an advantage were left out of the policy loss. In the run there may be none.
        left_out = learned / max(row["forwards"] - sampled, 1)
        plain = config.model_copy(update={"recall": RecallConfig()})  # as the small step
        left_out *= learning_passes(config, lesson).all / max(learning_passes(plain, lesson).all, 1)
        for stage, taken in row["seconds"].items():
            more = 1 if stage in ONCE else whole * (left_out if stage in ("forward", "backward") else 1)
            seconds[stage] += taken * more * weight / sum(starts.values())
        memory = {stage: max(memory.get(stage, 0.0), most) for stage, most in row["memory"].items()}
    return dict(seconds), memory


def small_step(config: TrainConfig, processes: int) -> TrainConfig:
    """The settings of a step of a micro-batch or two, in which whatever differs counts as a difference."""
    reinforced = any(lesson.reinforced for lesson in config.lessons)
    group = min(config.group_size, max(1 + reinforced, config.micro_batch))
    tasks = max(1, min(config.tasks_per_step // processes, config.micro_batch // group))
    floors: dict[str, float] = dict.fromkeys(
        ("judged_floor", "pickscore_floor", "distillation_floor", "batch_floor"), 1e-30
    )
    rewards = config.rewards.model_copy(update=floors)
    return config.model_copy(
        update={"tasks_per_step": tasks, "group_size": group, "rewards": rewards, "recall": RecallConfig()}
    )
