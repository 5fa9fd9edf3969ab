"""The learning rate over a run."""

import math
from typing import Literal


def learning_rate(
    step: int, *, steps: int, peak: float, warmup: int, decay: Literal["constant", "linear", "cosine"]
) -> float:
    """The rate of step 0 <= step < steps: up linearly over `warmup` steps, then down to zero after the last."""
    if step < warmup:
        return peak * (step + 1) / warmup
    done = (step - warmup) / max(steps - warmup, 1)
    match decay:
        case "constant":
            return peak
        case "linear":
            return peak * (1 - done)
        case "cosine":
            return peak * (1 + math.cos(math.pi * done)) / 2
