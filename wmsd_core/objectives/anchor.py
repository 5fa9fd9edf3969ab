"""The anchor: velocity regression to the Demonstrator on states of the Executor (paper eq. 5 and 11).

Without a reward this is on-policy self-distillation, eq. 5, less the gradient through the distribution of trajectories;
that part is the distillation reward's (eq. 7 and 9). In the full objective (eq. 12) it is weighted by beta.
"""

from wmsd_core.objectives.distillation import discrepancy
from wmsd_core.shapes import LatentMask, Latents, PerSample


def anchor_loss(v_executor: Latents, v_demonstrator: Latents, active: LatentMask) -> PerSample:
    """|| v_theta(x; o, c) - sg v_phi(x; o, d) ||^2, at states x taken as fixed."""
    return discrepancy(v_executor, v_demonstrator.detach(), active)
