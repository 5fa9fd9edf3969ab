"""The distillation reward: agreement with the Demonstrator along the Executor's own trajectory (paper eq. 9)."""

import torch
from jaxtyping import Float
from torch import Tensor

from wmsd_core.objectives.distillation import step_costs
from wmsd_core.sampling.trajectory import Velocities
from wmsd_core.shapes import LatentMask, PerSample


@torch.no_grad()
def step_rewards(v_executor: Velocities, v_demonstrator: Velocities, active: LatentMask) -> Float[Tensor, "K B"]:
    """r_k = -|| sg v_theta - v_phi ||^2 at each of the K states, the per-step form of section A.3.

    No gradient: the reward acts through the likelihood of the trajectory; the regression is the anchor's.
    """
    return -step_costs(v_executor, v_demonstrator, active)


def distillation_reward(v_executor: Velocities, v_demonstrator: Velocities, active: LatentMask) -> PerSample:
    """r_dist = mean over the trajectory of r_k (eq. 9)."""
    return step_rewards(v_executor, v_demonstrator, active).mean(0)
