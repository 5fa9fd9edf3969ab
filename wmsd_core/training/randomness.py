"""Which steps of the sampler are random in a training step of Flow-GRPO."""

import torch

from wmsd_core import seeds
from wmsd_core.sampling import window
from wmsd_core.training.config import TrainConfig


def random_steps(config: TrainConfig, step: int) -> list[int]:
    """Those of step 0, 1, ... of the run, the same in all of its processes."""
    settings = config.grpo
    allowed = settings.random_steps(config.sampler_steps)
    size = settings.size or len(allowed)
    generator = torch.Generator().manual_seed(seeds.derive(config.seed, "window", index=step))
    match settings.window:
        case "contiguous":
            return window.contiguous(size, within=allowed, generator=generator)
        case "scattered":
            return window.scattered(size, among=allowed, generator=generator)
        case "sliding":
            return window.sliding(size, within=allowed, update=step, interval=settings.interval)
