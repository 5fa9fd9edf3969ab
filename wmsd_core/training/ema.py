"""The exponential moving average of the adapter, in float32: in bfloat16 it stalls short of its target."""

from collections.abc import Mapping
from typing import Literal

import torch


def ema_decay(update: int, *, decay: float, schedule: Literal["constant", "power"]) -> float:
    """d_k at update k = 0, 1, ...: `decay`, or with `power` min(decay, (1 + k) / (10 + k))."""
    return decay if schedule == "constant" else min(decay, (1 + update) / (10 + update))


@torch.no_grad()
def update_ema(ema: Mapping[str, torch.Tensor], policy: Mapping[str, torch.Tensor], *, decay: float) -> None:
    """w_ema <- d w_ema + (1 - d) w, in place. Both hold the same names."""
    for name, weight in policy.items():
        ema[name].lerp_(weight, 1 - decay)
