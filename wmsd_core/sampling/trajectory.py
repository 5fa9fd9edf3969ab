"""What a sampler visited: states, noise levels and the velocities that led from one to the next."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from wmsd_core.shapes import Grid, Latents

States = Float[Tensor, "S B ..."]
"""Batches of latents stacked over the levels of a grid."""


@dataclass(frozen=True)
class Trajectory:
    """`states[k]` lies at noise level `grid[k]`; `velocities[k]` was predicted there. K + 1 states, K velocities."""

    grid: Grid
    states: States
    velocities: States

    @property
    def final(self) -> Latents:
        """x_0, the sample."""
        return self.states[-1]
