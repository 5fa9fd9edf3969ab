"""Latents that rest in the memory of the CPU while the network works on others.

A video of LTX-2 at 768 x 512 with 121 frames is 3.2 MB in float32. A step keeps 17 of them for each of 768 rollouts, which is
more than a GPU has beside the weights.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from wmsd_core.shapes import Latents

Chunk = Float[Tensor, "S b ..."]
"""Latents of the b samples of a micro-batch, at S noise levels."""


class Resting:
    """Latents [S, B, ...] of `device`, in the micro-batches that they came in, all but the last of one size."""

    def __init__(self, chunks: Sequence[Chunk], device: torch.device) -> None:
        self.chunks, self.device = chunks, device
        self.levels, self._size = chunks[0].shape[:2]

    def take(self, levels: Int[Tensor, " n"], rows: Int[Tensor, " n"]) -> Latents:
        """Sample `rows[i]` at noise level `levels[i]`, on the device."""
        return torch.stack([self._one(*pair) for pair in zip(levels.tolist(), rows.tolist(), strict=True)])

    def final(self, rows: Int[Tensor, " n"]) -> Latents:
        """The samples at the last noise level, on the device."""
        return self.take(torch.full_like(rows, self.levels - 1), rows)

    def _one(self, level: int, row: int) -> Tensor:
        chunk, place = divmod(row, self._size)
        return self.chunks[chunk][level, place].to(self.device, non_blocking=True)


def rest(latents: Tensor) -> Tensor:
    """The same in the memory of the CPU: itself where it is there already.

    From a GPU into page-locked memory, which the system cannot use for anything else, by a copy that is queued and not waited
    for. The CPU must not look at the values; what is copied back later has them, because one queue does both.
    """
    if latents.device.type == "cpu":
        return latents
    here = torch.empty(latents.shape, dtype=latents.dtype, pin_memory=latents.is_cuda)
    return here.copy_(latents, non_blocking=True)
