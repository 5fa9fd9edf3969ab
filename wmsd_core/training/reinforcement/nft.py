"""DiffusionNFT: the old policy's final samples, noised again."""

import torch
from jaxtyping import Float
from torch import Tensor

from wmsd_core.objectives.kl import velocity_kl
from wmsd_core.objectives.nft import nft_loss, optimality
from wmsd_core.sampling.interpolation import noised
from wmsd_core.sampling.levels import step_of
from wmsd_core.training.arms import Role
from wmsd_core.training.batch import Rows
from wmsd_core.training.levels import beside, drawn_levels
from wmsd_core.training.reinforcement.objective import Loss, actor, credit
from wmsd_core.training.turn import Turn


class Nft:
    """`objectives.nft`. A sample without an advantage has no part in the loss."""

    reported: tuple[str, ...] = ("policy", "positive", "negative")
    clip: float | None = None

    def __init__(self, turn: Turn, advantages: Float[Tensor, "C B"]) -> None:
        self._turn, self._advantages, self._settings = turn, advantages, turn.config.nft
        self._sigma = drawn_levels(turn.batch, turn.grid, self._settings, "policy", count=self._settings.times)
        self.steps = step_of(self._sigma, turn.grid)

    def loss(self, rows: Rows, *, first: bool) -> Loss:
        turn, settings, n = self._turn, self._settings, self._settings.times
        repeated = rows.repeat_interleave(n)
        x_0, active = turn.rollouts.states.final(repeated), turn.rollouts.active[repeated]
        sigma = beside(self._sigma[rows].flatten(), x_0)
        x = noised(x_0, turn.batch.noise(rows, "renoise", count=n), sigma, active)
        with torch.no_grad():
            v_old = turn.batch.velocity(Role(actor(turn).text, "old"), x, sigma, repeated)
        v = turn.batch.velocity(actor(turn), x, sigma, repeated)
        advantage = credit(self._advantages, rows, self.steps[rows]).to(x.device).flatten()
        found = nft_loss(
            v,
            v_old,
            x,
            x_0,
            active,
            sigma=sigma,
            r=optimality(advantage, limit=turn.config.largest_advantage),
            beta=settings.beta,
            limit=turn.config.rewards.advantage_clip,
        )
        loss = found.loss * (advantage != 0)
        by_time = {"policy": loss, "positive": found.positive, "negative": found.negative}
        return Loss(
            loss.view(-1, n).mean(1),
            {name: value.view(-1, n) for name, value in by_time.items()},
            x,
            sigma,
            lambda reference: velocity_kl(v, reference, active),
        )
