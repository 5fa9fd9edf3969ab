"""Flow-GRPO: the random steps of the rollouts, replayed."""

import torch
from jaxtyping import Float
from torch import Tensor

from wmsd_core.objectives.flow_grpo import grpo_loss, guard_loss, mean_drift
from wmsd_core.objectives.kl import mean_kl
from wmsd_core.sampling.sde import Transition, log_prob, transition
from wmsd_core.shapes import Latents
from wmsd_core.training.batch import Rows
from wmsd_core.training.levels import beside
from wmsd_core.training.reinforcement.objective import Loss, actor, credit
from wmsd_core.training.resting import rest
from wmsd_core.training.turn import Turn


class Grpo:
    """`objectives.flow_grpo`.

    Old log-probabilities of later updates come from the velocities of the first one, not from those of the rollout, which
    may have been batched otherwise: half-precision networks then differ by more than the clip. Neither costs a pass.
    """

    reported: tuple[str, ...] = ("policy", "log_prob")

    def __init__(self, turn: Turn, advantages: Float[Tensor, "C B"]) -> None:
        self._turn, self._advantages, self._settings = turn, advantages, turn.config.grpo
        self.clip: float | None = self._settings.clip
        self.steps = torch.tensor(turn.rollouts.random).expand(len(turn.batch.rows), -1)
        self._old: dict[int, Latents] = {}

    def loss(self, rows: Rows, *, first: bool) -> Loss:
        turn, settings, n = self._turn, self._settings, self.steps.shape[1]
        states, repeated, k = turn.rollouts.states, rows.repeat_interleave(n), self.steps[rows].flatten()
        x, x_next, active = states.take(k, repeated), states.take(k + 1, repeated), turn.rollouts.active[repeated]
        sigma, sigma_next = (turn.grid[i].to(x.device) for i in (k, k + 1))
        v = turn.batch.velocity(actor(turn), x, beside(sigma, x), repeated)

        def step(velocity: Latents) -> Transition:
            return transition(
                x, velocity, sigma=sigma, sigma_next=sigma_next, sde=settings.sde, strength=settings.strength
            )

        new = step(v)
        log_p = log_prob(new, x_next, active, likelihood=settings.likelihood)
        if first:
            old, log_p_old = None, log_p.detach()
            if settings.updates > 1:
                self._old |= dict(zip(rows.tolist(), rest(v.detach()).split(n), strict=True))
        else:
            old = step(torch.cat([self._old[row].to(x.device, non_blocking=True) for row in rows.tolist()]))
            log_p_old = log_prob(old, x_next, active, likelihood=settings.likelihood)
        advantage = credit(self._advantages, rows, self.steps[rows]).to(x.device).flatten()
        if settings.guard:
            drift = torch.zeros_like(log_p) if old is None else mean_drift(new, old, active)
            loss, ratio = guard_loss(
                log_p, log_p_old, drift, advantage, std=new.std, dt=sigma_next - sigma, clip=settings.clip
            )
        else:
            loss, ratio = grpo_loss(log_p, log_p_old, advantage, clip=settings.clip)
        return Loss(
            loss.view(-1, n).mean(1),
            {"policy": loss.view(-1, n), "log_prob": log_p.view(-1, n)},
            x,
            beside(sigma, x),
            lambda reference: mean_kl(new, step(reference), active),
            ratio,
            advantage,
        )
