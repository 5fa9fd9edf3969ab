"""Muon (Jordan et al. 2024): steps of equal size in all directions of a weight matrix.

torch's own takes the step in bfloat16, which CPUs without that format are ten times slower at: half of a step's time here.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

_A, _B, _C = 3.4445, -4.7750, 2.0315
"""Coefficients of the published iteration, which brings all singular values near 1 in five rounds."""


class Muon(torch.optim.Optimizer):
    """Momentum (Nesterov's), then the nearest matrix with equal singular values, in float32.

    Steps are scaled by max(1, rows / columns)^.5, as published.
    """

    def __init__(self, matrices: Sequence[Tensor], lr: float, momentum: float = 0.95) -> None:
        super().__init__(matrices, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """One step; matrices of one shape are taken together."""
        for group in self.param_groups:
            alike: dict[tuple[int, ...], list[Tensor]] = defaultdict(list)
            for weight in group["params"]:
                if weight.grad is not None:
                    alike[tuple(weight.shape)].append(weight)
            for (rows, columns), weights in alike.items():
                directions = orthogonal(torch.stack([self._push(weight, group) for weight in weights]))
                rate = group["lr"] * max(1.0, rows / columns) ** 0.5
                for weight, direction in zip(weights, directions, strict=True):
                    weight.sub_(direction, alpha=rate)

    def _push(self, weight: Tensor, group: dict[str, Any]) -> Tensor:
        gradient = weight.grad
        assert gradient is not None
        state = self.state[weight]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(weight)
        state["momentum"].lerp_(gradient, 1 - group["momentum"])
        return gradient.lerp(state["momentum"], group["momentum"])


def orthogonal(matrices: Tensor) -> Tensor:
    """[N, R, C] with the same singular vectors, and singular values between about .7 and 1.2, by five rounds."""
    wide = matrices if matrices.shape[1] <= matrices.shape[2] else matrices.mT
    x = wide / wide.flatten(1).norm(dim=1).clamp(min=1e-7).view(-1, 1, 1)
    for _ in range(5):
        gram = x @ x.mT
        x = _A * x + (_B * gram + _C * gram @ gram) @ x
    return x if wide is matrices else x.mT
