"""Supervised fine-tuning: flow matching on recorded videos, with the tasks that a vision-language model named for them."""

from typing import Any

from wmsd_core.objectives.flow_matching import flow_matching_loss
from wmsd_core.sampling.interpolation import noised
from wmsd_core.sampling.levels import step_of
from wmsd_core.training.arms import EXECUTOR
from wmsd_core.training.levels import beside, drawn_levels
from wmsd_core.training.tally import Tally
from wmsd_core.training.turn import Turn


def imitate(turn: Turn) -> dict[str, Any]:
    """Adds the gradient of the flow-matching loss, averaged over videos and their noise levels; returns its metrics."""
    config, batch, rollouts, n = turn.config, turn.batch, turn.rollouts, turn.config.sft.times
    levels = drawn_levels(batch, turn.grid, config.sft, "sft", count=n)
    tally = Tally(["sft"], config.sampler_steps)
    for b in batch.rows.split(max(1, config.micro_batch // n)):
        with turn.watch("forward"):
            repeated = b.repeat_interleave(n)
            x_0, active = rollouts.states.final(repeated), rollouts.active[repeated]
            eps, sigma = batch.noise(b, "sft", count=n), beside(levels[b].flatten(), x_0)
            v = batch.velocity(EXECUTOR, noised(x_0, eps, sigma, active), sigma, repeated)
            loss = flow_matching_loss(v, x_0, eps, active)
        with turn.watch("backward"):
            (config.teaching_weight(turn.lesson) * loss.sum() / (n * len(batch.rows))).backward()
        tally.add("sft", loss, step_of(levels[b], turn.grid))
    return tally.means(turn.world)
