"""How much of the machine's arithmetic a step uses."""

import time
from collections.abc import Callable
from functools import cache
from typing import NamedTuple, TypeVar

import torch
from torch.utils.flop_counter import FlopCounterMode

Result = TypeVar("Result")


class Passes(NamedTuple):
    """Latents that went through the transformer, by what was done with them."""

    plain: int
    """Forward only."""
    trained: int
    """Forward and backward."""

    @property
    def all(self) -> int:
        return self.plain + self.trained

    def and_those(self, others: "Passes") -> "Passes":
        """Both."""
        return Passes(self.plain + others.plain, self.trained + others.trained)

    def flops(self, forward: float) -> float:
        """Floating-point operations, with `forward` for one latent's forward pass.

        A backward pass of a LoRA costs what a forward pass costs, and not twice as much: the frozen weights have no
        gradient, only their inputs do. What activation checkpointing computes again is work but no use, and is not
        counted.
        """
        return forward * (self.plain + 2 * self.trained)


def counted(run: Callable[[], Result]) -> tuple[Result, int]:
    """The result of `run`, and the floating-point operations of its matrix products, convolutions and attentions."""
    with FlopCounterMode(display=False) as counter:
        result = run()
    return result, counter.get_total_flops()


@cache
def matmul_rate() -> float:
    """Floating-point operations per second of a large matrix product on this machine, now: what utilisation is a share of.

    bfloat16 on a GPU, float32 on a CPU; the best of five. Of random numbers: a GPU multiplies ones faster than any weights.
    """
    cuda = torch.cuda.is_available()
    side, kind, device = (8192, torch.bfloat16, "cuda") if cuda else (512, torch.float32, "cpu")
    a = torch.randn(side, side, generator=torch.Generator().manual_seed(0)).to(device, kind)
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        torch.mm(a, a)
        if cuda:
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - start)
    return 2 * side**3 / best
