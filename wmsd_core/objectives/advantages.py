"""Group-relative advantages (paper section A.9; GDPO aggregation as in Tab. 3), in float64.

NaN is a reward that could not be had. Such a sample leaves the statistics of its group, for all rewards, and gets
advantage 0: it neither pushes nor pulls. Filling in a zero would make a failed judge look like a verdict.

A standard deviation has a floor in the unit of its reward. The public implementations use 1e-6, which turns a group
whose judgments differ by 1e-5 into full advantages of +-1: the policy is then trained on rounding.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from wmsd_core.sampling.choices import Deviation
from wmsd_core.shapes import Groups

RewardGroups = Float[Tensor, "R P G"]


class Advantages(NamedTuple):
    values: Groups
    unscored: int
    """Samples without a reward."""
    flat: int
    """Groups in which no reward varies by as much as its floor: nothing to learn from."""


def grpo_advantages(rewards: Groups, *, floor: float, deviation: Deviation = "group") -> Advantages:
    """A = (R - mean_g R) / max(s, floor), for the total reward R (`sum` aggregation).

    s is the standard deviation of R within the group (section A.9), or over all samples of the batch, as public
    configurations of Flow-GRPO and AWM have it: groups that differ little then get small advantages.
    """
    scored = ~rewards.isnan()
    z, std = _standardised(rewards.double(), scored, floor, dim=1)
    if deviation == "batch":
        _, overall = _standardised(rewards.double().view(1, -1), scored.view(1, -1), floor, dim=1)
        z = z * (std.clamp(min=floor)[:, None] / overall.clamp(min=floor))
    return Advantages(z, _count(~scored), _count(std <= floor))


def gdpo_advantages(
    rewards: RewardGroups, *, weights: Sequence[float], floors: Sequence[float], batch_floor: float
) -> Advantages:
    """Each reward is normalised in its group before the weights act, so that they weigh signals of one scale:

    z_k = (r_k - mean_g r_k) / max(std_g r_k, floor_k);  C = sum_k w_k z_k;  A = (C - mean C) / max(std C, batch_floor)

    The last mean and deviation are over the batch. All deviations are those of the population.
    """
    scored = ~rewards.isnan().any(0)
    parts = [
        _standardised(reward.double(), scored, floor, dim=1) for reward, floor in zip(rewards, floors, strict=True)
    ]
    total = sum((weight * z for weight, (z, _) in zip(weights, parts, strict=True)), torch.zeros_like(parts[0][0]))
    values, _ = _standardised(total.view(1, -1), scored.view(1, -1), batch_floor, dim=1)
    flat = torch.stack([std <= floor for (_, std), floor in zip(parts, floors, strict=True)]).all(0)
    return Advantages(values.view_as(total), _count(~scored), _count(flat))


def flat_groups(rewards: RewardGroups, *, floors: Sequence[float]) -> tuple[int, ...]:
    """For each reward, how many groups it does not tell apart: its deviation within the group is not above its floor.

    Over the samples that have this reward; a group with fewer than two of them is flat.
    """
    return tuple(
        _count(_standardised(reward.double(), ~reward.isnan(), floor, dim=1)[1] <= floor)
        for reward, floor in zip(rewards, floors, strict=True)
    )


def clipped(advantages: Groups, *, limit: float, rescale: float | None) -> Groups:
    """clamp(A, +-limit), and with `rescale` then A / limit * rescale.

    The two published conventions: clamp(A, +-1), and clamp(A, +-5) / 5. They differ by how much the reward weighs
    against the anchor, and by what becomes of large advantages.
    """
    clamped = advantages.clamp(-limit, limit)
    return clamped if rescale is None else clamped / limit * rescale


def _standardised(
    values: Float[Tensor, "P G"], scored: Bool[Tensor, "P G"], floor: float, dim: int
) -> tuple[Float[Tensor, "P G"], Float[Tensor, " P"]]:
    """(x - mean) / max(std, floor) over the scored entries of `dim`, 0 for the others; and std."""
    count = scored.sum(dim, keepdim=True).clamp(min=1)
    centred = values.where(scored, 0) - values.where(scored, 0).sum(dim, keepdim=True) / count
    centred = centred.where(scored, 0)
    std = (centred.square().sum(dim, keepdim=True) / count).sqrt()
    return centred / std.clamp(min=floor), std.squeeze(dim)


def _count(flags: Bool[Tensor, "..."]) -> int:
    return int(flags.sum())
