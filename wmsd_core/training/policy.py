"""The policy loss: whoever acted learns from the advantages of its rollouts."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from wmsd_core.objectives.awm import PerTime, awm_loss, log_likelihood
from wmsd_core.objectives.distillation import discrepancy
from wmsd_core.sampling import noised
from wmsd_core.training.turn import Turn


def reinforce(turn: Turn, advantages: Float[Tensor, "C B"], ell_old: PerTime | None) -> tuple[dict[str, Any], PerTime]:
    """Adds the gradient of the policy loss; returns its metrics, and the likelihoods: the old ones of a second update.

    Samples whose advantage is 0 have no gradient, and are left out, unless the processes have to keep step.
    """
    config, batch, rollouts = turn.config, turn.batch, turn.rollouts
    settings, n = config.awm, config.awm.times
    choices = torch.tensor(settings.levels or range(config.sampler_steps))
    levels = choices[batch.levels("policy", choices=len(choices), count=n)]
    ells = torch.zeros(levels.shape, dtype=torch.float64)
    change, clipped, total = torch.zeros(1), torch.zeros(2, dtype=torch.float64), 0.0
    learned = batch.rows if turn.world.sharded else batch.rows[(advantages != 0).any(0)]
    for b in learned.split(max(1, config.micro_batch // n)) if len(learned) else ():
        with turn.watch("forward"):
            k, repeated = levels[b], b.repeat_interleave(n)
            x_0, active = rollouts.path.final[repeated], rollouts.active[repeated]
            eps = batch.noise(b, "renoise", count=n)
            sigma = turn.grid[k]
            x = noised(x_0, eps, sigma.flatten().to(x_0), active)
            v = batch.velocity(config.lesson.actor, x, sigma.flatten().to(x_0), repeated)
            m = discrepancy(v, eps - x_0, active).view(-1, n)
            ell = log_likelihood(m, sigma.to(m.device), weighting=settings.weighting, power=settings.power)
            credit = advantages[k if len(advantages) > 1 else torch.zeros_like(k), b[:, None]].to(m.device)
            old = ell.detach() if ell_old is None else ell_old[b].to(m.device)
            loss, ratio = awm_loss(ell, old, credit, clip=settings.clip, ratio=settings.ratio)
        with turn.watch("backward"):
            (config.policy_weight * loss.sum() / len(batch.rows)).backward()
        ells[b] = ell.detach().cpu()
        off = (ratio - 1).abs().cpu()
        change = torch.maximum(change, off.max())
        clipped += torch.tensor([float((off > settings.clip).sum()), off.numel()])
        total += float(loss.detach().sum()) / len(batch.rows)
    clipped = turn.world.total(clipped)
    metrics = {
        "policy": float(turn.world.total(torch.tensor(total))) / turn.world.size,
        "ratio_change": float(turn.world.largest(change)),
        "ratio_clipped": float(clipped[0] / clipped[1].clamp(min=1)),
    }
    return metrics, ells
