"""Distribution matching self-distillation (paper section A.2.1, eq. 13-22; DMD, Yin et al. 2024, arXiv:2311.18828).

The Executor's samples x_0 are moved so that their distribution comes nearer to the Demonstrator's in KL divergence:

    grad KL = E[ (1 - sigma) w (s_fake(x_sigma) - s_real(x_sigma)) dx_0/dtheta ]      (eq. 14, 19, 21-22)
    x_sigma = (1 - sigma) x_0 + sigma eps                                             (eq. 15)
    s(x) = -(x - (1 - sigma) x^0) / sigma^2,   x^0 = x - sigma v                       (eq. 16, 17)

s_real is the frozen Demonstrator's score, given the detailed solution; s_fake that of the Executor's own samples, by a
critic with an adapter of its own, given the short task and trained along with the Executor (eq. 18).

A sampler of several steps is not differentiated through: take a state x_k of a rollout as fixed, and
x_0 = `denoised(x_k, v_theta(x_k), sigma_k)`. The paper found this objective to diverge and did not use it.
"""

from wmsd_core.objectives.distillation import discrepancy
from wmsd_core.sampling.interpolation import denoised
from wmsd_core.sampling.masking import generated, generated_mean
from wmsd_core.shapes import LatentMask, Latents, PerSample

LEAST_DISTANCE = 1e-5
"""Floor of the distance that the gradient is divided by."""


def kl_gradient(v_fake: Latents, v_real: Latents, active: LatentMask, *, sigma: PerSample) -> Latents:
    """(1 - sigma) (s_fake - s_real) = (1 - sigma)^2 / sigma (v_real - v_fake): eq. 19 with w = 1.

    Its mean over x_0 and eps, times dx_0/dtheta, is the gradient of KL(p_executor || p_demonstrator) at this level.
    """
    level = sigma.view(-1, *[1] * (v_fake.ndim - 1)).to(v_fake)
    return generated((1 - level).square() / level * (v_real - v_fake), active).detach()


def matching_gradient(
    v_fake: Latents, v_real: Latents, x: Latents, x_0: Latents, active: LatentMask, *, sigma: PerSample
) -> Latents:
    """(x^0_fake - x^0_real) / mean |x_0 - x^0_real|, which is eq. 19 with w = (sigma / (1 - sigma))^2 / mean |x_0 - x^0_real|.

    The weight of DMD's code: steps of one size at every noise level. (In its text w has one factor 1 - sigma less.)
    """
    real = denoised(x, v_real, sigma, active).detach()
    step = generated(denoised(x, v_fake, sigma, active).detach() - real, active)
    distance = generated_mean(generated(x_0.detach() - real, active).abs(), active).clamp(min=LEAST_DISTANCE)
    return step / distance.view(-1, *[1] * (x.ndim - 1))


def dmd_loss(x_0: Latents, gradient: Latents, active: LatentMask) -> PerSample:
    """mean over generated latents of (x_0 - sg(x_0 - gradient))^2 / 2; its gradient at x_0 is gradient / (latents).

    `gradient` is one of the two above.
    """
    return discrepancy(x_0, x_0.detach() - gradient, active) / 2


def critic_loss(v_fake: Latents, x_0: Latents, eps: Latents, active: LatentMask, *, sigma: PerSample) -> PerSample:
    """mean over generated latents of (x^0_fake(x_sigma) - x_0)^2 = sigma^2 (v_fake - (eps - x_0))^2 (eq. 18)."""
    return sigma.to(v_fake).square() * discrepancy(v_fake, (eps - x_0).detach(), active)
