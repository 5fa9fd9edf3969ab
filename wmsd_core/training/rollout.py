"""Trajectories of one step, and what the Demonstrator would have done on them."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from wmsd_core.rewards.distillation import step_rewards
from wmsd_core.sampling.choices import Sde
from wmsd_core.sampling.ode import sample, trajectory
from wmsd_core.sampling.sde import stochastic_trajectory
from wmsd_core.sampling.trajectory import Trajectory
from wmsd_core.shapes import Grid, LatentMask, Latents
from wmsd_core.training.arms import Lesson, Role
from wmsd_core.training.batch import Batch, Rows
from wmsd_core.training.resting import Resting, rest


@dataclass(frozen=True)
class Randomness:
    """Which steps of the sampler are random, and how: see `sampling.sde`."""

    steps: tuple[int, ...]
    sde: Sde
    strength: float


@dataclass(frozen=True)
class Rollouts:
    states: Resting
    """Of every sample, at every noise level of the grid."""
    active: LatentMask
    targets: Resting | None
    """The Demonstrator's velocity at every state but the last, where the arm has had to compute it: the distillation reward
    needs it (eq. 9), and the anchor (eq. 11) reuses it."""
    agreement: Float[Tensor, "K B"] | None = None
    """The distillation reward of each step, where the Demonstrator was asked along the Executor's trajectories."""
    random: tuple[int, ...] = ()
    """The steps that were random."""


@torch.no_grad()
def roll_out(
    batch: Batch,
    grid: Grid,
    lesson: Lesson,
    *,
    compare: bool,
    micro_batch: int,
    old: bool = False,
    randomness: Randomness | None = None,
    done: Callable[[Rows, Latents], None] = lambda *_: None,
) -> Rollouts:
    """Samples every rollout of the batch by the lesson's actor; `done` gets each micro-batch as it is sampled.

    With `compare`, the Demonstrator is evaluated along the actor's trajectories. On its own trajectories its velocities
    are at hand for nothing. With `old`, the slow copy of the actor acts for it.
    """
    assert lesson.actor
    role = Role(lesson.actor.text, "old") if old else lesson.actor
    states: list[Tensor] = []
    targets: list[Tensor] = []
    rewards: list[Tensor] = []
    masks: list[LatentMask] = []
    for rows in batch.rows.split(micro_batch):
        masks.append(batch.active(rows))
        path = _sample(batch, grid, role, rows, masks[-1], randomness)
        done(rows, path.final)
        states.append(rest(path.states))
        if compare:
            demonstrate = partial(batch.velocity, lesson.demonstrator, rows=rows)
            visited = zip(path.states, grid.tolist()[:-1], strict=False)
            target = torch.stack([demonstrate(x, x.new_full((len(x),), s)) for x, s in visited])
            rewards.append(step_rewards(path.velocities, target, masks[-1]))
            targets.append(rest(target))
        elif lesson.actor == lesson.demonstrator:
            targets.append(rest(path.velocities))
    device = masks[0].device
    return Rollouts(
        Resting(states, device),
        torch.cat(masks),
        Resting(targets, device) if targets else None,
        torch.cat(rewards, 1) if compare else None,
        randomness.steps if randomness else (),
    )


@torch.no_grad()
def demonstrate(
    batch: Batch, grid: Grid, demonstrator: Role, *, micro_batch: int, done: Callable[[Tensor, Latents], None]
) -> None:
    """The Demonstrator's own clip of each task; `done` gets the tasks' numbers within the step, and x_0, by micro-batches."""
    for rows in batch.rows[:: batch.group_size].split(micro_batch):
        act = partial(batch.velocity, demonstrator, rows=rows)
        done(rows // batch.group_size, sample(act, batch.noise(rows, "vetting"), grid, batch.active(rows)))


def _sample(
    batch: Batch, grid: Grid, role: Role, rows: Rows, active: LatentMask, randomness: Randomness | None
) -> Trajectory:
    act = partial(batch.velocity, role, rows=rows)
    if randomness is None:
        return trajectory(act, batch.noise(rows, "rollout"), grid, active)
    return stochastic_trajectory(
        act,
        batch.noise(rows, "rollout"),
        grid,
        active,
        stochastic=randomness.steps,
        noise=lambda k: batch.noise(rows, f"step {k}"),
        sde=randomness.sde,
        strength=randomness.strength,
    )


@torch.no_grad()
def recorded(batch: Batch, *, micro_batch: int) -> Rollouts:
    """The tasks' own videos, as trajectories without a step."""
    parts = batch.rows.split(micro_batch)
    active = torch.cat([batch.active(rows) for rows in parts])
    return Rollouts(Resting([rest(batch.recorded(rows)[None]) for rows in parts], active.device), active, None)
