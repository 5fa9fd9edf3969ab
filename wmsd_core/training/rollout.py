"""Trajectories of one step, and what the Demonstrator would have done on them."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch

from wmsd_core.sampling.choices import Sde
from wmsd_core.sampling.ode import trajectory
from wmsd_core.sampling.sde import stochastic_trajectory
from wmsd_core.sampling.trajectory import Levels, Trajectory, Velocities
from wmsd_core.shapes import LatentMask, Latents
from wmsd_core.training.arms import Lesson, Role
from wmsd_core.training.batch import Batch, Rows


@dataclass(frozen=True)
class Randomness:
    """Which steps of the sampler are random, and how: see `sampling.sde`."""

    steps: tuple[int, ...]
    sde: Sde
    strength: float


@dataclass(frozen=True)
class Rollouts:
    path: Trajectory
    active: LatentMask
    targets: Velocities | None
    """The Demonstrator's velocity at every state, where the arm has had to compute it: the distillation reward needs it
    (eq. 9), and the anchor (eq. 11) reuses it."""
    random: tuple[int, ...] = ()
    """The steps that were random."""


@torch.no_grad()
def roll_out(
    batch: Batch,
    grid: Levels,
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
    paths: list[Trajectory] = []
    targets: list[Velocities] = []
    masks: list[LatentMask] = []
    for rows in batch.rows.split(micro_batch):
        masks.append(batch.active(rows))
        paths.append(_sample(batch, grid, role, rows, masks[-1], randomness))
        done(rows, paths[-1].final)
        if compare:
            demonstrate = partial(batch.velocity, lesson.demonstrator, rows=rows)
            states = zip(paths[-1].states, grid.tolist()[:-1], strict=False)
            targets.append(torch.stack([demonstrate(x, x.new_full((len(x),), s)) for x, s in states]))
    path = Trajectory(grid, torch.cat([p.states for p in paths], 1), torch.cat([p.velocities for p in paths], 1))
    known = path.velocities if lesson.actor == lesson.demonstrator else None
    found = torch.cat(targets, 1) if compare else known
    return Rollouts(path, torch.cat(masks), found, randomness.steps if randomness else ())


def _sample(
    batch: Batch, grid: Levels, role: Role, rows: Rows, active: LatentMask, randomness: Randomness | None
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
def recorded(batch: Batch, grid: Levels, *, micro_batch: int) -> Rollouts:
    """The tasks' own videos, as trajectories without a step."""
    parts = batch.rows.split(micro_batch)
    final = torch.cat([batch.recorded(rows) for rows in parts])
    path = Trajectory(grid[-1:], final[None], final.new_zeros(0, *final.shape))
    return Rollouts(path, torch.cat([batch.active(rows) for rows in parts]), None)
