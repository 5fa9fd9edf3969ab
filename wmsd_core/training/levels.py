"""The noise levels at which the samples of a step are trained."""

import torch
from jaxtyping import Float
from torch import Tensor

from wmsd_core.sampling.levels import training_levels
from wmsd_core.shapes import Grid, Latents
from wmsd_core.training.batch import Batch
from wmsd_core.training.config import LevelsConfig


def drawn_levels(batch: Batch, grid: Grid, settings: LevelsConfig, purpose: str, *, count: int) -> Float[Tensor, "B N"]:
    """`count` levels for every sample of the step, float64; drawn by task, whichever process has it."""
    return batch.draw(
        purpose,
        lambda generator: training_levels(
            settings.drawn,
            grid,
            batch=batch.group_size,
            count=count,
            steps=settings.levels or range(len(grid) - 1),
            shift=settings.shift,
            generator=generator,
        ),
    )


def beside(levels: Float[Tensor, "*n"], x: Latents) -> Float[Tensor, "*n"]:
    """Noise levels where x is, in its dtype, but never in half precision: .99375 is none of float16's numbers."""
    return levels.to(x.device, torch.promote_types(x.dtype, torch.float32))
