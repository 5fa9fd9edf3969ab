"""Euler integration of the flow ODE dx/dsigma = v(x, sigma) (paper eq. 2, with t = 1 - sigma).

First order: the error at sigma = 0 falls in proportion to the step. It is the sampler of the distilled LTX-2, and equal
to `FlowMatchEulerDiscreteScheduler` of diffusers on the same grid.
"""

from collections.abc import Callable
from itertools import pairwise

import torch

from wmsd_core.sampling.trajectory import Trajectory
from wmsd_core.shapes import Grid, LatentMask, Latents, PerSample

Velocity = Callable[[Latents, PerSample], Latents]
"""A velocity field: (x, sigma) -> v, with one noise level per sample."""


def euler_step(x: Latents, v: Latents, active: LatentMask, *, sigma: float, sigma_next: float) -> Latents:
    """x' = x + (sigma' - sigma) v on generated latents; given latents stay bit-identical."""
    return torch.where(active, x + (sigma_next - sigma) * v, x)


def trajectory(velocity: Velocity, x: Latents, grid: Grid, active: LatentMask) -> Trajectory:
    """Integrates from x at grid[0] to grid[-1] and keeps everything on the way."""
    states, velocities = [x], []
    for sigma, sigma_next in pairwise(grid.tolist()):
        v = velocity(states[-1], x.new_full((len(x),), sigma))
        velocities.append(v)
        states.append(euler_step(states[-1], v, active, sigma=sigma, sigma_next=sigma_next))
    return Trajectory(grid, torch.stack(states), torch.stack(velocities))


def sample(velocity: Velocity, x: Latents, grid: Grid, active: LatentMask) -> Latents:
    """The final state of `trajectory`, in the memory of one state."""
    for sigma, sigma_next in pairwise(grid.tolist()):
        v = velocity(x, x.new_full((len(x),), sigma))
        x = euler_step(x, v, active, sigma=sigma, sigma_next=sigma_next)
    return x
