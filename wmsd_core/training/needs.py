"""What a run takes of a GPU, of a machine's memory and of its disk, by part; whether there is as much; which setting helps."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from wmsd_core.training.config import KEPT, TrainConfig
from wmsd_core.training.launch import LaunchConfig
from wmsd_core.training.passes import latents_per_pass, levels_of_policy
from wmsd_core.training.scoring import WAITING

SLACK = 0.05
"""Share of a GPU that is left free: its context, workspaces of its libraries, gaps between tensors."""
GIB = 2**30


@dataclass(frozen=True)
class Sizes:
    """Bytes of what a run is made of."""

    weights: int
    """Of the frozen network."""
    narrow: int
    """The same with `storage` float8."""
    beside: int
    """Of the models that stay on the device beside it: the video autoencoder, PickScore."""
    adapter: int
    """Of one adapter."""
    activations: Mapping[int, int]
    """The most that a pass holds besides, by the number of latents in it: two numbers or more. Empty: not known."""
    state: int
    """Of one latent video."""
    video: int
    """Of one decoded video."""
    decoding: int = 0
    """The most that decoding one video holds besides; 0: not known."""
    tiled: int = 0
    """The same in tiles."""
    features: int = 0
    """Of the cache of features, at most."""

    def of_pass(self, latents: int) -> int:
        """Interpolated between the numbers that are known: what a pass holds grows evenly with its latents."""
        if not self.activations:
            return 0
        (few, low), (many, high) = min(self.activations.items()), max(self.activations.items())
        return low if few == many else round(low + (high - low) * (latents - few) / (many - few))


@dataclass(frozen=True)
class Proposal:
    """What can be changed to make a run fit."""

    train: TrainConfig
    launch: LaunchConfig
    sizes: Sizes
    change: str = ""
    """The settings that differ from what was asked for, as for --set."""


def on_device(proposal: Proposal) -> dict[str, int]:
    """Bytes on each GPU by part, at the most expensive moment of a step once there are moments: the backward pass, or the
    decoding of a rollout where that takes more than gradients and activations do."""
    train, launch, sizes = proposal.train, proposal.launch, proposal.sizes
    trained = {name for lesson in train.lessons for name in lesson.learners}
    learning = {
        "gradients": len(trained) * sizes.adapter,
        "activations": sizes.of_pass(latents_per_pass(train)),
    }
    scoring = {"decoding": sizes.decoding if train.video_rewards else 0}
    return {
        "weights": sizes.weights // (launch.world if launch.shard else 1),
        "other models": sizes.beside,
        "adapters": len(train.adapters) * sizes.adapter,
        "moments": 2 * len(trained) * sizes.adapter,
    } | max(learning, scoring, key=lambda moment: sum(moment.values()))


def on_host(proposal: Proposal) -> dict[str, int]:
    """Bytes of each machine's memory by part. States rest in page-locked memory, which nothing else can use."""
    train, launch, sizes = proposal.train, proposal.launch, proposal.sizes
    rollouts = train.tasks_per_step * train.group_size // launch.nodes
    compared = any(
        train.agreement_weight(lesson) > 0 or (lesson.actor and lesson.actor == lesson.demonstrator)
        for lesson in train.lessons
    )
    remembered = train.reinforcement == "grpo" and train.grpo.updates > 1
    per_process = {
        "features": sizes.features,
        "videos to be scored": (
            (WAITING + 1) * train.rewards.overlap * train.micro_batch * sizes.video if train.video_rewards else 0
        ),
        "base before it is split": sizes.weights if launch.shard else 0,
    }
    return {
        "states": rollouts * (train.sampler_steps + 1) * sizes.state,
        "the Demonstrator's velocities": rollouts * train.sampler_steps * sizes.state * compared,
        "old velocities": rollouts * levels_of_policy(train) * sizes.state * remembered,
    } | {name: launch.processes * size for name, size in per_process.items()}


def checkpoint(proposal: Proposal) -> int:
    """Bytes of a checkpoint."""
    trained = {name for lesson in proposal.train.lessons for name in lesson.learners}
    return (len(proposal.train.adapters) + 2 * len(trained)) * proposal.sizes.adapter


@dataclass(frozen=True)
class Room:
    """Free bytes. Without a GPU, `device` is None, and what would lie there lies in the memory of the machine."""

    device: int | None
    host: int
    disk: int

    def lacking(self, proposal: Proposal) -> dict[str, tuple[int, int]]:
        """What is too small for it: bytes needed, and bytes there are."""
        device, host = sum(on_device(proposal).values()), sum(on_host(proposal).values())
        if self.device is None:
            device, host = 0, host + device * proposal.launch.processes
        pairs = {
            "the GPU": (device, round((self.device or 0) * (1 - SLACK))),
            "the machine's memory": (host, self.host),
            "the disk": (checkpoint(proposal) * (KEPT + 1), self.disk),
        }
        return {name: pair for name, pair in pairs.items() if pair[0] > pair[1]}


def complaint(proposal: Proposal, room: Room, generator: str, settings: Any = None) -> str:
    """Why the proposal does not fit, and the first change that would let it; '' if it can. `generator` names the group of
    `settings`, those of a pretrained generator, that could be changed."""
    lacking = room.lacking(proposal)
    if not lacking:
        return ""
    told = "; ".join(
        f"{name} has {there / GIB:.1f} GiB for {needed / GIB:.1f}" for name, (needed, there) in lacking.items()
    )
    cure = next((other.change for other in _changes(proposal, generator, settings) if not room.lacking(other)), None)
    return f"this run does not fit: {told}. " + (
        f"It would with --set {cure}"
        if cure
        else "No single setting would make it fit: take a larger machine, or smaller videos"
    )


def _changes(proposal: Proposal, generator: str, settings: Any) -> Iterator[Proposal]:
    """Plans that need less, the one that costs least first."""
    train, launch, sizes = proposal.train, proposal.launch, proposal.sizes
    for size in _halves(train.micro_batch):
        yield replace(proposal, train=_with(train, micro_batch=size), change=f"train.micro_batch={size}")
    if settings is not None and not settings.tiled_decode:
        tiles = replace(sizes, decoding=sizes.tiled)
        yield replace(proposal, sizes=tiles, change=f"models.{generator}.tiled_decode=true")
    if settings is not None and settings.storage == "same" and sizes.narrow < sizes.weights and not launch.shard:
        narrow = replace(
            proposal, sizes=replace(sizes, weights=sizes.narrow), change=f"models.{generator}.storage=float8"
        )
        yield narrow
        for size in _halves(train.micro_batch):
            change = f"{narrow.change} --set train.micro_batch={size}"
            yield replace(narrow, train=_with(train, micro_batch=size), change=change)
    for processes in (2, 4, 8):
        if processes > launch.processes and settings is not None and not train.tasks_per_step % processes:
            split = launch.model_copy(update={"processes": processes, "shard": True})
            change = f"launch.processes={processes} --set launch.shard=true"
            yield replace(proposal, launch=split, change=change)
            yield replace(
                proposal, launch=split, train=_with(train, micro_batch=1), change=f"{change} --set train.micro_batch=1"
            )
    for tasks in _halves(train.tasks_per_step):
        yield replace(proposal, train=_with(train, tasks_per_step=tasks), change=f"train.tasks_per_step={tasks}")
    for rank in _halves(train.adapter.rank):
        smaller = replace(sizes, adapter=sizes.adapter * rank // train.adapter.rank)
        yield replace(proposal, sizes=smaller, change=f"train.adapter.rank={rank}")


def _halves(number: int) -> Iterator[int]:
    while number > 1:
        number //= 2
        yield number


def _with(train: TrainConfig, **changes: int) -> TrainConfig:
    return train.model_copy(update=changes)
