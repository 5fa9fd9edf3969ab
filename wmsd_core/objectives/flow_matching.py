"""The flow-matching loss (Lipman et al. 2022, arXiv:2210.02747): what pretraining and supervised fine-tuning minimise.

It is also the error m from which AWM makes its likelihood.
"""

from wmsd_core.objectives.distillation import discrepancy
from wmsd_core.shapes import LatentMask, Latents, PerSample


def flow_matching_loss(v: Latents, x_0: Latents, eps: Latents, active: LatentMask) -> PerSample:
    """m = mean over generated latents of (v(x_sigma) - (eps - x_0))^2, with x_sigma = (1 - sigma) x_0 + sigma eps."""
    return discrepancy(v, (eps - x_0).detach(), active)
