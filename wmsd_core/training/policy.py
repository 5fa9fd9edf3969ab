"""The policy loss: whoever acted learns from the advantages of its rollouts."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from wmsd_core.objectives.awm import PerTime, awm_loss, log_likelihood
from wmsd_core.objectives.distillation import discrepancy
from wmsd_core.sampling import noised
from wmsd_core.sampling.trajectory import Levels
from wmsd_core.training.arms import Lesson
from wmsd_core.training.batch import Batch
from wmsd_core.training.config import TrainConfig
from wmsd_core.training.rollout import Rollouts


def reinforce(
    batch: Batch,
    rollouts: Rollouts,
    grid: Levels,
    lesson: Lesson,
    advantages: Float[Tensor, "C B"],
    ell_old: PerTime | None,
    config: TrainConfig,
) -> tuple[dict[str, Any], PerTime]:
    """Adds the gradient of the policy loss; returns its metrics, and the likelihoods: the old ones of a second update.

    Samples whose advantage is 0 have no gradient, and are left out.
    """
    settings, n = config.awm, config.awm.times
    choices = torch.tensor(settings.levels or range(config.sampler_steps))
    levels = choices[batch.levels("policy", choices=len(choices), count=n)]
    ells = torch.zeros(levels.shape, dtype=torch.float64)
    ratios: list[Tensor] = []
    total = 0.0
    learned = batch.rows[(advantages != 0).any(0)]
    for b in learned.split(max(1, config.micro_batch // n)) if len(learned) else ():
        k, repeated = levels[b], b.repeat_interleave(n)
        x_0, active = rollouts.path.final[repeated], rollouts.active[repeated]
        eps = batch.noise(b, "renoise", count=n)
        sigma = grid[k]
        x = noised(x_0, eps, sigma.flatten().to(x_0), active)
        v = batch.velocity(lesson.actor, x, sigma.flatten().to(x_0), repeated)
        ell = log_likelihood(
            discrepancy(v, eps - x_0, active).view(-1, n), sigma, weighting=settings.weighting, power=settings.power
        )
        credit = advantages[k if len(advantages) > 1 else torch.zeros_like(k), b[:, None]]
        loss, ratio = awm_loss(
            ell, ell.detach() if ell_old is None else ell_old[b], credit, clip=settings.clip, ratio=settings.ratio
        )
        (config.policy_weight * loss.sum() / len(batch.rows)).backward()
        ells[b] = ell.detach()
        ratios.append(ratio.flatten())
        total += float(loss.detach().sum()) / len(batch.rows)
    change = torch.cat([*ratios, torch.ones(1)]) - 1
    clipped = float((change.abs() > settings.clip).double().mean())
    return {"policy": total, "ratio_change": float(change.abs().max()), "ratio_clipped": clipped}, ells
