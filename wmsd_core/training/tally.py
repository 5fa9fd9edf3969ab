"""Means of what is reported per (sample, noise level)."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from wmsd_core.training.distributed import World


class Tally:
    """Adds up named quantities by step of the sampler.

    The names are fixed from the start: all processes of a run must report the same ones, also those without a sample.
    """

    def __init__(self, names: Sequence[str], steps: int) -> None:
        self._sums = {name: torch.zeros(2, steps, dtype=torch.float64) for name in names}

    def add(self, name: str, values: Float[Tensor, "*n"], steps: Int[Tensor, "*n"]) -> None:
        """Values, each with the step that passes its noise level."""
        values, steps = values.detach().double().cpu().flatten(), steps.cpu().flatten()
        self._sums[name].index_add_(1, steps, torch.stack([values, torch.ones_like(values)]))

    def means(self, world: World) -> dict[str, Any]:
        """Over all processes: NAME, and NAME_by_level for every step; NaN where nothing was trained."""
        found: dict[str, Any] = {}
        for name, sums in self._sums.items():
            total, count = world.total(sums)
            found |= {name: float(total.sum() / count.sum()), f"{name}_by_level": (total / count).tolist()}
        return found
