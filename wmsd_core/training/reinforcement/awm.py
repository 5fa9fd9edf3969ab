"""Advantage-weighted matching: the rollouts' final samples, noised again."""

import torch
from jaxtyping import Float
from torch import Tensor

from wmsd_core.objectives.awm import awm_loss, log_likelihood
from wmsd_core.objectives.flow_matching import flow_matching_loss
from wmsd_core.objectives.kl import velocity_kl
from wmsd_core.sampling.interpolation import noised
from wmsd_core.sampling.levels import step_of
from wmsd_core.training.batch import Rows
from wmsd_core.training.levels import beside, drawn_levels
from wmsd_core.training.reinforcement.objective import Loss, actor, credit
from wmsd_core.training.turn import Turn


class Awm:
    """`objectives.awm`. Noise and levels are drawn once per step, so that likelihoods of several updates compare."""

    reported: tuple[str, ...] = ("policy", "flow_matching")

    def __init__(self, turn: Turn, advantages: Float[Tensor, "C B"]) -> None:
        self._turn, self._advantages, self._settings = turn, advantages, turn.config.awm
        self.clip: float | None = self._settings.clip
        self._sigma = drawn_levels(turn.batch, turn.grid, self._settings, "policy", count=self._settings.times)
        self.steps = step_of(self._sigma, turn.grid)
        self._old = torch.zeros(self.steps.shape, dtype=torch.float64)

    def loss(self, rows: Rows, *, first: bool) -> Loss:
        turn, settings, n = self._turn, self._settings, self._settings.times
        repeated = rows.repeat_interleave(n)
        x_0, active = turn.rollouts.states.final(repeated), turn.rollouts.active[repeated]
        eps = turn.batch.noise(rows, "renoise", count=n)
        sigma = beside(self._sigma[rows].flatten(), x_0)
        x = noised(x_0, eps, sigma, active)
        v = turn.batch.velocity(actor(turn), x, sigma, repeated)
        m = flow_matching_loss(v, x_0, eps, active).view(-1, n)
        ell = log_likelihood(m, self._sigma[rows].to(m.device), weighting=settings.weighting, power=settings.power)
        old = None if first else self._old[rows].to(m.device)
        if first:
            self._old[rows] = ell.detach().cpu()
        advantage = credit(self._advantages, rows, self.steps[rows]).to(m.device)
        loss, terms, ratio = awm_loss(ell, old, advantage, clip=settings.clip, ratio=settings.ratio)
        if settings.ratio == "sum_first":
            advantage = advantage.mean(1, keepdim=True)
        return Loss(
            loss,
            {"policy": terms.expand_as(m), "flow_matching": m},
            x,
            sigma,
            lambda reference: velocity_kl(v, reference, active),
            ratio,
            advantage,
        )
