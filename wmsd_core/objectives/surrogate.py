"""The clipped surrogate of PPO (Schulman et al. 2017, arXiv:1707.06347), which AWM and Flow-GRPO share.

    r = pi / pi_old = exp(change of log-likelihood);    max(-A r, -A clamp(r, 1 - clip, 1 + clip))

Past the clip only the way back has a gradient. With one update per rollout r is exactly 1 and the clip never acts; that
is so in most published configurations too. The exponential is taken in float64: clips are as narrow as 1e-5.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

PerRatio = Float[Tensor, "*ratios"]
"""One number per likelihood ratio, in any arrangement."""


class Surrogate(NamedTuple):
    loss: PerRatio
    ratio: PerRatio
    """r, without gradient."""


def log_ratio(ell: PerRatio, ell_old: PerRatio | None) -> PerRatio:
    """ell - sg ell_old, in float64. None: the policy has not moved since the rollout, so that it is its own old one.

    The result is then exactly 0 and has the gradient of ell; no forward pass is spent on the old policy.
    """
    ell = ell.double()
    return ell - (ell if ell_old is None else ell_old.double()).detach()


def clipped_surrogate(change: PerRatio, advantage: PerRatio, *, clip: float) -> Surrogate:
    """max(-A r, -A clamp(r, 1 - clip, 1 + clip)) with r = exp(change)."""
    r = change.exp()
    return Surrogate(torch.maximum(-advantage * r, -advantage * r.clamp(1 - clip, 1 + clip)), r.detach())


class RatioStatistics(NamedTuple):
    """What the clip sees; all 0 but `mean` when the policy is its own old one."""

    mean: float
    largest_change: float
    """max |r - 1|"""
    outside: float
    """Share of ratios beyond 1 +- clip."""
    silenced: float
    """Share without a gradient: beyond the clip, in the direction that the advantage pushes."""
    kl: float
    """KL(pi_old || pi), estimated as mean of r - 1 - log r (never negative; Schulman 2020, "Approximating KL")."""


def ratio_statistics(ratio: PerRatio, advantage: PerRatio, *, clip: float) -> RatioStatistics:
    """Of all ratios of one update. Without any: as if nothing had moved."""
    if not ratio.numel():
        return RatioStatistics(1.0, 0.0, 0.0, 0.0, 0.0)
    change = ratio.double() - 1
    outside = change.abs() > clip
    return RatioStatistics(
        mean=float(1 + change.mean()),
        largest_change=float(change.abs().max()),
        outside=float(outside.double().mean()),
        silenced=float((outside & (change * advantage > 0)).double().mean()),
        kl=float((change - change.log1p()).mean()),
    )
