"""What a policy objective has to answer, and what all of them need."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Float, Int
from torch import Tensor

from wmsd_core.shapes import Latents, PerLevel, PerSample
from wmsd_core.training.arms import Role
from wmsd_core.training.batch import Rows
from wmsd_core.training.turn import Turn


@dataclass(frozen=True)
class Loss:
    """The policy loss of B samples at N noise levels each, and where the policy was evaluated for it."""

    values: PerSample
    by_time: dict[str, PerLevel]
    """What is reported by noise level: `policy`, the loss, and the quantities that the objective names itself."""
    x: Latents
    """The states, those of a sample in a row: [B N, ...]."""
    sigma: PerSample
    """Their noise levels, [B N]."""
    distance: Callable[[Latents], PerSample]
    """The penalty for being away from a reference with these velocities at x, [B N]."""
    ratio: Float[Tensor, "*ratios"] | None = None
    """Likelihood ratios, and the advantages that they are multiplied with."""
    advantage: Float[Tensor, "*ratios"] | None = None


class PolicyObjective(Protocol):
    """A policy loss on the trajectories of one step, over all updates that are made with them."""

    reported: tuple[str, ...]
    """The names of `Loss.by_time`."""
    clip: float | None
    """Of the ratios; None where there are none."""
    steps: Int[Tensor, "B N"]
    """The steps of the sampler that pass the trained noise levels, for all samples of the step."""

    def loss(self, rows: Rows, *, first: bool) -> Loss:
        """The loss of some samples, with a gradient. In the first update the policy is its own old one."""
        ...


def actor(turn: Turn) -> Role:
    """Who learns from rewards."""
    assert turn.lesson.actor
    return turn.lesson.actor


def credit(advantages: Float[Tensor, "C B"], rows: Rows, steps: Int[Tensor, "b N"]) -> PerLevel:
    """The advantages of some samples at their noise levels: of these steps, or of the whole trajectory if C = 1."""
    return advantages[steps if len(advantages) > 1 else torch.zeros_like(steps), rows[:, None]]
