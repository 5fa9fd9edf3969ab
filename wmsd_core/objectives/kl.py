"""Penalties that keep the policy near a reference: the frozen base, or the slow copy (paper section A.9).

The reference is evaluated at the policy's own states with the policy's own condition. The anchor (eq. 11) is the same
regression, to the Demonstrator.
"""

from wmsd_core.objectives.distillation import discrepancy
from wmsd_core.objectives.flow_grpo import mean_drift
from wmsd_core.sampling.sde import Transition
from wmsd_core.shapes import LatentMask, Latents, PerSample


def velocity_kl(v: Latents, v_reference: Latents, active: LatentMask) -> PerSample:
    """mean over generated latents of (v - sg v_ref)^2: the regularizer of AWM and DiffusionNFT.

    Published weights: to the base 1e-4 to 3e-3; to the slow copy .1 to 1.
    """
    return discrepancy(v, v_reference.detach(), active)


def mean_kl(step: Transition, reference: Transition, active: LatentMask) -> PerSample:
    """mean over generated latents of (mu - sg mu_ref)^2 / (2 g^2): Flow-GRPO's, weight .004 to .04.

    The divergence of the two Gaussians is this divided by |dsigma|: the published form leaves that factor out, and
    published weights belong to it. Others leave out g as well; their weights are not comparable.
    """
    return mean_drift(step, reference, active) / (2 * step.g.square())
