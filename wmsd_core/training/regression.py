"""The regression of the Executor to the Demonstrator, on states drawn from the trajectories of a step."""

from typing import Any

import torch

from wmsd_core.objectives.anchor import anchor_loss
from wmsd_core.objectives.off_policy import off_policy_loss
from wmsd_core.training.arms import EXECUTOR
from wmsd_core.training.turn import Turn

_LOSSES = {"anchor": anchor_loss, "off_policy": off_policy_loss}


def regress(turn: Turn) -> dict[str, Any]:
    """Adds the gradient of the regression loss, averaged over samples and their drawn states; returns its metrics."""
    config, batch, rollouts, lesson = turn.config, turn.batch, turn.rollouts, turn.config.lesson
    assert lesson.regression is not None
    loss_fn, steps = _LOSSES[lesson.regression], config.sampler_steps
    levels = batch.levels("anchor", choices=steps, count=config.anchor_states).flatten()
    samples = batch.rows.repeat_interleave(config.anchor_states)
    by_level = torch.zeros(steps, dtype=torch.float64)
    for b, k in zip(samples.split(config.micro_batch), levels.split(config.micro_batch), strict=True):
        with turn.watch("forward"):
            x = rollouts.path.states[k, b]
            sigma = turn.grid[k].to(x)
            if rollouts.targets is None:
                with torch.no_grad():
                    target = batch.velocity(lesson.demonstrator, x, sigma, b)
            else:
                target = rollouts.targets[k, b]
            loss = loss_fn(batch.velocity(EXECUTOR, x, sigma, b), target, rollouts.active[b])
        with turn.watch("backward"):
            (config.regression_weight * loss.sum() / len(samples)).backward()
        by_level.index_add_(0, k, loss.detach().double().cpu())
    sums, count = turn.world.total(torch.stack([by_level, levels.bincount(minlength=steps).double()]))
    return {"anchor": float(sums.sum() / count.sum()), "anchor_by_level": (sums / count).tolist()}
