"""Distribution matching of the Executor with the Demonstrator, and the critic that it needs (paper section A.2.1)."""

from typing import Any

import torch

from wmsd_core.objectives.dmd import critic_loss, dmd_loss, matching_gradient
from wmsd_core.sampling.interpolation import denoised, noised
from wmsd_core.sampling.levels import step_of, stratified
from wmsd_core.training.arms import CRITIC, EXECUTOR
from wmsd_core.training.levels import beside, drawn_levels
from wmsd_core.training.tally import Tally
from wmsd_core.training.turn import Turn


def match_distributions(turn: Turn) -> dict[str, Any]:
    """Adds the gradients of the matching loss and of the critic's, averaged over samples; returns their metrics.

    From one state x_k of each trajectory, taken as fixed, the Executor's x_0 = x_k - sigma_k v_theta(x_k). Scores are
    compared at a level drawn anew. The critic is trained on the same x_0, at a level and with noise of its own, so that
    it knows the samples that it is asked about; both learn at once.
    """
    config, batch, rollouts, lesson = turn.config, turn.batch, turn.rollouts, turn.lesson
    start = batch.draw(
        "anchor",
        lambda generator: stratified(config.sampler_steps, batch=batch.group_size, count=1, generator=generator),
    ).flatten()
    compared, criticised = (
        drawn_levels(batch, turn.grid, config.dmd, purpose, count=1).flatten() for purpose in ("compared", "criticised")
    )
    tally = Tally(["dmd", "critic"], config.sampler_steps)
    for b in batch.rows.split(config.micro_batch):
        with turn.watch("forward"):
            x_k, active = rollouts.states.take(start[b], b), rollouts.active[b]
            sigma_k = beside(turn.grid[start[b]], x_k)
            x_0 = denoised(x_k, batch.velocity(EXECUTOR, x_k, sigma_k, b), sigma_k, active)
            sample, sigma = x_0.detach(), beside(compared[b], x_0)
            x = noised(sample, batch.noise(b, "compared"), sigma, active)
            with torch.no_grad():
                v_fake = batch.velocity(CRITIC, x, sigma, b)
                v_real = batch.velocity(lesson.demonstrator, x, sigma, b)
            gradient = matching_gradient(v_fake, v_real, x, sample, active, sigma=sigma)
            loss = dmd_loss(x_0, gradient, active)
        with turn.watch("backward"):
            (config.teaching_weight(lesson) * loss.sum() / len(batch.rows)).backward()
        tally.add("dmd", loss, step_of(compared[b, None], turn.grid))
        with turn.watch("forward"):
            eps, sigma = batch.noise(b, "criticised"), beside(criticised[b], x_0)
            v_fake = batch.velocity(CRITIC, noised(sample, eps, sigma, active), sigma, b)
            loss = critic_loss(v_fake, sample, eps, active, sigma=sigma)
        with turn.watch("backward"):
            (loss.sum() / len(batch.rows)).backward()
        tally.add("critic", loss, step_of(criticised[b, None], turn.grid))
    return tally.means(turn.world)
