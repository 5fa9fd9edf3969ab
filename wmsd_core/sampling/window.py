"""Which steps of a sampler are random, and so trained by Flow-GRPO; the others follow the ODE.

The choice is made once for all rollouts that are compared: a generator seeded by the group, or by the training step.
Random steps cost replay and variance; few of them, early, are enough (MixGRPO, Li et al. 2025, arXiv:2507.21802).
`within` and `among` name the steps that may be chosen; the last step of a sampler is best left out (see `sde`).
"""

from collections.abc import Sequence

import torch


def contiguous(size: int, *, within: range, generator: torch.Generator) -> list[int]:
    """A window of `size` neighbouring steps, anywhere in `within` with equal probability (Flow-GRPO-Fast).

    Raises:
        ValueError: the window does not fit.
    """
    start = int(torch.randint(_places(size, within), (), generator=generator))
    return list(within[start : start + size])


def scattered(count: int, *, among: Sequence[int], generator: torch.Generator) -> list[int]:
    """`count` different steps of those in `among`, every choice with equal probability, in the sampler's order.

    Raises:
        ValueError: there are fewer than `count`.
    """
    if not 1 <= count <= len(among):
        raise ValueError(f"{count} random steps cannot be chosen among {len(among)}")
    chosen = torch.randperm(len(among), generator=generator)[:count]
    return sorted(among[int(i)] for i in chosen)


def sliding(size: int, *, within: range, update: int, interval: int, stride: int = 1) -> list[int]:
    """A window that moves from the noisy end of `within` towards its clean end, by `stride` every `interval` updates.

    Past the end it starts again. MixGRPO's schedule; published: 4 steps, moved by 1 every 25 updates.

    Raises:
        ValueError: the window does not fit.
    """
    stops = range(0, _places(size, within), stride)
    start = stops[update // interval % len(stops)]
    return list(within[start : start + size])


def _places(size: int, within: range) -> int:
    places = len(within) - size + 1
    if size < 1 or places < 1:
        raise ValueError(f"a window of {size} steps does not fit into the {len(within)} that may be random")
    return places
