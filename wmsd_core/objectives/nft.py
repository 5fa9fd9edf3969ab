"""DiffusionNFT (Zheng et al. 2025, arXiv:2509.16117): reinforcement learning on the forward process.

From the velocity v of the trained policy and v_old of the one that rolled out, two implicit policies on either side of
the old one are made, and the better a sample, the more the positive one is fitted to it:

    v+ = beta v + (1 - beta) v_old,      v- = (1 + beta) v_old - beta v
    x+- = x_sigma - sigma v+-,           ell+- = mean (x+- - x_0)^2 / w+-,     w+- = sg max(mean |x+- - x_0|, 1e-5)
    L = limit (r ell+ / beta + (1 - r) ell- / beta)

x_0 is a rollout's final sample, x_sigma that sample noised afresh. No likelihood is needed and no clip; the old policy
is a slow copy (`old_decay`). Published: beta 1 or .1, limit 5, and 1e-4 times `kl.velocity_kl` to the base.
"""

from typing import NamedTuple

import torch

from wmsd_core.sampling.masking import generated, generated_mean
from wmsd_core.shapes import LatentMask, Latents, PerSample

LEAST_ERROR = 1e-5
"""Floor of the normalising error w; the published value."""


class NftLoss(NamedTuple):
    loss: PerSample
    positive: PerSample
    """ell+, without gradient. It and `negative` are equal while the policy is its own old one."""
    negative: PerSample


def optimality(advantage: PerSample, *, limit: float) -> PerSample:
    """r = clamp(A, +-limit) / (2 limit) + 1/2: the probability that a sample is a good one, in [0, 1].

    Where an advantage is 0, r = 1/2 and the two implicit policies pull equally, which is no pull on policy.
    """
    return advantage.clamp(-limit, limit) / (2 * limit) + 0.5


def nft_loss(
    v: Latents,
    v_old: Latents,
    x: Latents,
    x_0: Latents,
    active: LatentMask,
    *,
    sigma: PerSample,
    r: PerSample,
    beta: float,
    limit: float,
) -> NftLoss:
    """limit (r ell+ / beta + (1 - r) ell- / beta), float64; one row per (sample, noise level), x at `sigma`."""
    old = generated(v_old.detach(), active).double()
    change = beta * (generated(v, active).double() - old)
    residual = generated(x - x_0, active).double()
    level = sigma.double().view(-1, *[1] * (x.ndim - 1))
    positive = _fit(residual - level * (old + change), active)
    negative = _fit(residual - level * (old - change), active)
    r = r.double()
    loss = limit * (r * positive + (1 - r) * negative) / beta
    return NftLoss(loss, positive.detach(), negative.detach())


def old_decay(update: int, *, flat: int, rate: float, limit: float) -> float:
    """d in w_old <- d w_old + (1 - d) w after an update: 0 while it is at most `flat`, then up by `rate` to `limit`.

    Published: limit 0 (the old policy is the last one); flat 0, rate .001, limit .5; flat 75, rate .0075, limit .999.
    """
    return min(max(update - flat, 0) * rate, limit)


def _fit(error: Latents, active: LatentMask) -> PerSample:
    """mean error^2 / sg max(mean |error|, 1e-5) over generated latents; `error` is 0 on given ones."""
    with torch.no_grad():
        scale = generated_mean(error.abs(), active).clamp(min=LEAST_ERROR)
    return generated_mean(error.square(), active) / scale
