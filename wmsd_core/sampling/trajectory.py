"""What a sampler visited: states, noise levels and the velocities that led from one to the next."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from wmsd_core.shapes import Grid, Latents

States = Float[Tensor, "S B ..."]
"""Batches of latents, at every noise level of a grid."""
Velocities = Float[Tensor, "K B ..."]
"""Velocities of a batch, at every step of a sampler."""


@dataclass(frozen=True)
class Trajectory:
    """`states[k]` lies at noise level `grid[k]`; `velocities[k]` was predicted there. K + 1 states, K velocities."""

    grid: Grid
    states: States
    velocities: Velocities

    @property
    def final(self) -> Latents:
        """x_0, the sample."""
        return self.states[-1]
