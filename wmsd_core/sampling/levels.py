"""Which noise levels are trained on: an explicit list of choices, drawn evenly."""

import torch
from jaxtyping import Int
from torch import Tensor


def stratified(choices: int, *, batch: int, count: int, generator: torch.Generator) -> Int[Tensor, "B N"]:
    """`count` indices in [0, choices) per sample: i_bn = floor(choices (n + u_bn) / count), u_bn uniform in [0, 1).

    One draw falls in each of `count` equal strata, and over all draws every index has probability 1 / choices. The
    published samplers exclude their upper end, so that the last real step of the grid never receives a gradient
    (.42 on the distilled grid of LTX-2); here it is drawn like any other.
    """
    u = torch.rand(batch, count, dtype=torch.float64, generator=generator)
    strata = torch.arange(count, dtype=torch.float64)
    # (count - 1) + u can round up to count.
    return ((strata + u) * choices / count).long().clamp(max=choices - 1)
