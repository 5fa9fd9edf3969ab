"""Sums and means that look at generated latents only.

Given latents may hold anything at a network's output, NaN included. They are replaced before any arithmetic that is
not linear: multiplying by a mask of zeros keeps NaN, and so does its gradient.
"""

import torch

from wmsd_core.shapes import LatentMask, Latents, PerSample


def generated(x: Latents, active: LatentMask) -> Latents:
    """x where latents are generated, 0 where they are given; no gradient reaches the given ones."""
    return torch.where(active, x, 0.0)


def generated_mean(x: Latents, active: LatentMask) -> PerSample:
    """The mean of every sample over its generated latents."""
    return generated(x, active).flatten(1).sum(1) / active.expand_as(x).flatten(1).sum(1)
