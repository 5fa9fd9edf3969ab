"""Off-policy self-distillation: velocity regression on states of the Demonstrator's own trajectories (paper eq. 3).

The regression is the anchor's (eq. 11); only the states differ. The sampler has computed the target already: at x_k of
its own trajectory the Demonstrator's velocity is the one that it stepped with.
"""

from wmsd_core.objectives.distillation import discrepancy
from wmsd_core.shapes import LatentMask, Latents, PerSample


def off_policy_loss(v_executor: Latents, v_demonstrator: Latents, active: LatentMask) -> PerSample:
    """|| v_theta(x; o, c) - sg v_phi(x; o, d) ||^2, at states x of the Demonstrator."""
    return discrepancy(v_executor, v_demonstrator.detach(), active)
