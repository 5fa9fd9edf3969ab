"""The arithmetic of velocities: half precision is for networks and for storage."""

import torch

from wmsd_core.shapes import Latents


def widened(x: Latents) -> Latents:
    """x in float32, or as it is in float64. Networks answer in bfloat16, whose sums and differences keep two digits."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
