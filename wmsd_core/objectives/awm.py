"""Advantage-weighted matching (Xue et al. 2025, arXiv:2509.25050; section A.9 of the paper).

A rollout's final sample x_0 is noised again, x_sigma = (1 - sigma) x_0 + sigma eps with fresh eps, and minus the
flow-matching error stands in for the sample's log-likelihood:

    m = mean over generated latents of (v_theta(x_sigma) - (eps - x_0))^2,    ell = -w(sigma, m)

m is `flow_matching.flow_matching_loss`; given latents are clean in x_sigma and not in m. Everything from m on is
float64: the ratio is the exponential of a small difference.

Departure: a public implementation evaluates the old policy again right before each update, so that its ratio is always
1; here the old likelihoods are those of before the first update, and none are computed when there is only one.
"""

from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

from wmsd_core.objectives.surrogate import clipped_surrogate, log_ratio
from wmsd_core.sampling.choices import Ratio, Weighting
from wmsd_core.shapes import PerLevel, PerSample

SMOOTHING = 1e-10
"""Keeps the powers of m differentiable at m = 0; the published value."""


class AwmLoss(NamedTuple):
    loss: PerSample
    terms: Float[Tensor, "B _"]
    """The loss of each ratio, whose mean it is."""
    ratio: Float[Tensor, "B _"]
    """pi / pi_old: per noise level with `exp_first`, per sample with `sum_first`."""


def log_likelihood(m: PerLevel, sigma: PerLevel, *, weighting: Weighting, power: float) -> PerLevel:
    """ell = -w(sigma, m), in float64:

    uniform: -m    sigma: -sigma m    sigma2: -sigma^2 m    huber: -sigma ((m + s)^(1/2) - s^(1/2))
    ghuber: -(sigma / p) ((m + s)^p - s^p), with p = `power` and s = 1e-10

    ghuber multiplies the gradient of m by sigma (m + s)^(p - 1): noisy levels and well-matched samples weigh more.
    """
    m, sigma = m.double(), sigma.double()
    match weighting:
        case "uniform":
            return -m
        case "sigma":
            return -sigma * m
        case "sigma2":
            return -sigma.square() * m
        case "huber":
            return -sigma * ((m + SMOOTHING).sqrt() - SMOOTHING**0.5)
        case "ghuber":
            return -(sigma / power) * ((m + SMOOTHING) ** power - SMOOTHING**power)


def awm_loss(ell: PerLevel, ell_old: PerLevel | None, advantage: PerLevel, *, clip: float, ratio: Ratio) -> AwmLoss:
    """mean over times of max(-A r, -A clamp(r, 1 - clip, 1 + clip)), with r = exp(ell - sg ell_old).

    `ell_old` is what the policy of the rollout gave for the same noise, from before the first update; None in the first
    update. `exp_first` has one ratio per noise level; `sum_first` one per sample, from the mean of ell over its noise
    levels. On policy the two have the same gradient.
    """
    change = log_ratio(ell, ell_old)
    if ratio == "sum_first":
        change, advantage = change.mean(1, keepdim=True), advantage.mean(1, keepdim=True)
    loss, r = clipped_surrogate(change, advantage, clip=clip)
    return AwmLoss(loss.mean(1), loss.detach(), r)
