"""The regression of the Executor to the Demonstrator, on states drawn from the trajectories of a step."""

from typing import Any

import torch

from wmsd_core.objectives.anchor import anchor_loss
from wmsd_core.objectives.off_policy import off_policy_loss
from wmsd_core.sampling.levels import stratified
from wmsd_core.training.arms import EXECUTOR
from wmsd_core.training.tally import Tally
from wmsd_core.training.turn import Turn

_LOSSES = {"anchor": anchor_loss, "off_policy": off_policy_loss}


def regress(turn: Turn) -> dict[str, Any]:
    """Adds the gradient of the regression loss, averaged over samples and their drawn states; returns its metrics.

    Samples whose Demonstrator has not passed are left out of loss and average, unless the processes have to keep step.
    """
    config, batch, rollouts, lesson = turn.config, turn.batch, turn.rollouts, turn.lesson
    assert lesson.teaching in _LOSSES
    loss_fn, steps, count = _LOSSES[lesson.teaching], config.sampler_steps, config.anchor_states
    levels = batch.draw(
        "anchor", lambda generator: stratified(steps, batch=batch.group_size, count=count, generator=generator)
    ).flatten()
    samples = batch.rows.repeat_interleave(count)
    passed = turn.passed[samples // batch.group_size]
    number = float(turn.world.total(passed.sum())) / turn.world.size  # gradients of processes are averaged
    if not turn.world.sharded:
        samples, levels, passed = samples[passed], levels[passed], passed[passed]
    tally = Tally(["anchor"], steps)
    parts = [each.split(config.micro_batch) for each in (samples, levels, passed)] if len(samples) else []
    for b, k, counts in zip(*parts, strict=True):
        with turn.watch("forward"):
            x = rollouts.states.take(k, b)
            sigma = turn.grid[k].to(x)
            if rollouts.targets is None:
                with torch.no_grad():
                    target = batch.velocity(lesson.demonstrator, x, sigma, b)
            else:
                target = rollouts.targets.take(k, b)
            loss = loss_fn(batch.velocity(EXECUTOR, x, sigma, b), target, rollouts.active[b])
        with turn.watch("backward"):
            (config.teaching_weight(lesson) * loss[counts].sum() / max(number, 1 / turn.world.size)).backward()
        tally.add("anchor", loss[counts], k[counts])
    vetted = turn.world.total(turn.passed.sum()) / (len(turn.passed) * turn.world.size)
    return tally.means(turn.world) | ({"vetted": float(vetted)} if config.vetted(lesson) else {})
