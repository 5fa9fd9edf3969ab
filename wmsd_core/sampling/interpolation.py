"""The straight path between data and noise."""

import torch

from wmsd_core.shapes import LatentMask, Latents, PerSample


def noised(x_0: Latents, eps: Latents, sigma: PerSample, active: LatentMask) -> Latents:
    """x_sigma = (1 - sigma) x_0 + sigma eps on generated latents; given latents stay clean."""
    sigma = sigma.view(-1, *[1] * (x_0.ndim - 1))
    return torch.where(active, (1 - sigma) * x_0 + sigma * eps, x_0)


def denoised(x: Latents, v: Latents, sigma: PerSample, active: LatentMask) -> Latents:
    """x^0 = x - sigma v, the data that v points to, on generated latents; given latents are data already."""
    sigma = sigma.view(-1, *[1] * (x.ndim - 1)).to(x)
    return torch.where(active, x - sigma * v, x)
