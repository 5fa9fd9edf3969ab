"""Trajectories of one step, and what the Demonstrator would have done on them."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch

from wmsd_core.sampling import Trajectory, trajectory
from wmsd_core.sampling.trajectory import Levels, Velocities
from wmsd_core.shapes import LatentMask, Latents
from wmsd_core.training.arms import Lesson
from wmsd_core.training.batch import Batch, Rows


@dataclass(frozen=True)
class Rollouts:
    path: Trajectory
    active: LatentMask
    targets: Velocities | None
    """The Demonstrator's velocity at every state, where the arm has had to compute it: the distillation reward needs it
    (eq. 9), and the anchor (eq. 11) reuses it."""


@torch.no_grad()
def roll_out(
    batch: Batch,
    grid: Levels,
    lesson: Lesson,
    *,
    compare: bool,
    micro_batch: int,
    done: Callable[[Rows, Latents], None] = lambda *_: None,
) -> Rollouts:
    """Samples every rollout of the batch by the lesson's actor; `done` gets each micro-batch as it is sampled.

    With `compare`, the Demonstrator is evaluated along the actor's trajectories. On its own trajectories its velocities
    are at hand for nothing.
    """
    paths: list[Trajectory] = []
    targets: list[Velocities] = []
    masks: list[LatentMask] = []
    for rows in batch.rows.split(micro_batch):
        masks.append(batch.active(rows))
        act = partial(batch.velocity, lesson.actor, rows=rows)
        paths.append(trajectory(act, batch.noise(rows, "rollout"), grid, masks[-1]))
        done(rows, paths[-1].final)
        if compare:
            demonstrate = partial(batch.velocity, lesson.demonstrator, rows=rows)
            states = zip(paths[-1].states, grid.tolist()[:-1], strict=False)
            targets.append(torch.stack([demonstrate(x, x.new_full((len(x),), s)) for x, s in states]))
    path = Trajectory(grid, torch.cat([p.states for p in paths], 1), torch.cat([p.velocities for p in paths], 1))
    if lesson.actor == lesson.demonstrator:
        return Rollouts(path, torch.cat(masks), path.velocities)
    return Rollouts(path, torch.cat(masks), torch.cat(targets, 1) if compare else None)
