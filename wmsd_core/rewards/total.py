"""The total reward."""

from collections.abc import Sequence

import torch

from wmsd_core.objectives.advantages import RewardGroups
from wmsd_core.shapes import Groups


def total_reward(rewards: RewardGroups, *, weights: Sequence[float]) -> Groups:
    """R = sum_k w_k r_k (paper eq. 10), with w_dist r_dist among the terms; NaN where any term is.

    GDPO applies the same weights after each reward is normalised within its group: see `objectives.advantages`.
    """
    return torch.einsum("k,kpg->pg", torch.tensor(weights, dtype=torch.float64), rewards.double())
