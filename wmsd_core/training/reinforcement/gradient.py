"""The policy loss: whoever acted learns from the advantages of its rollouts."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from wmsd_core.generators.protocol import Adapter
from wmsd_core.objectives.surrogate import RatioStatistics, ratio_statistics
from wmsd_core.training.arms import Role
from wmsd_core.training.distributed import World
from wmsd_core.training.reinforcement.objective import Loss, PolicyObjective, actor
from wmsd_core.training.tally import Tally
from wmsd_core.training.turn import Turn


def reinforce(
    turn: Turn, objective: PolicyObjective, advantages: Float[Tensor, "C B"], *, first: bool
) -> dict[str, Any]:
    """Adds the gradient of the policy loss of one update and of its penalties; returns its metrics.

    Samples whose advantage is 0 have no gradient, and are left out, unless there is a penalty, which holds for all, or the
    processes have to keep step.
    """
    config, batch = turn.config, turn.batch
    references = _references(turn)
    n = objective.steps.shape[1]
    tally = Tally([*objective.reported, *references], config.sampler_steps)
    ratios, credits, total = [torch.zeros(0)], [torch.zeros(0)], 0.0
    all_learn = turn.world.sharded or references
    learned = batch.rows if all_learn else batch.rows[(advantages != 0).any(0)]
    for b in learned.split(max(1, config.micro_batch // n)) if len(learned) else ():
        with turn.watch("forward"):
            found = objective.loss(b, first=first)
            penalties = {
                name: found.distance(_reference_velocity(turn, adapter, found, b.repeat_interleave(n))).view(-1, n)
                for name, (adapter, _) in references.items()
            }
            loss = found.values
            for name, (_, weight) in references.items():
                loss = loss + weight * penalties[name].mean(1)
        with turn.watch("backward"):
            (config.policy_weight(turn.lesson) * loss.sum() / len(batch.rows)).backward()
        for name, values in (found.by_time | penalties).items():
            tally.add(name, values, objective.steps[b])
        if found.ratio is not None and found.advantage is not None:
            ratios.append(found.ratio.flatten().cpu())
            credits.append(found.advantage.flatten().cpu())
        total += float(loss.detach().sum()) / len(batch.rows)
    metrics = tally.means(turn.world)
    metrics["policy"] = float(turn.world.total(torch.tensor(total))) / turn.world.size
    if objective.clip is not None:
        metrics |= _ratio_metrics(torch.cat(ratios), torch.cat(credits), objective.clip, turn.world)
    return metrics


def _references(turn: Turn) -> dict[str, tuple[Adapter | None, float]]:
    """The penalties that have a weight: the adapter of the reference (None: the frozen base), and the weight."""
    settings = turn.config.reinforcement_settings
    known: dict[str, tuple[Adapter | None, float]] = {
        "kl_base": (None, settings.kl_base),
        "kl_ema": ("ema", settings.kl_ema),
    }
    return {name: reference for name, reference in known.items() if reference[1]}


@torch.no_grad()
def _reference_velocity(turn: Turn, adapter: Adapter | None, found: Loss, rows: Tensor) -> Tensor:
    return turn.batch.velocity(Role(actor(turn).text, adapter), found.x, found.sigma, rows)


def _ratio_metrics(ratio: Tensor, advantage: Tensor, clip: float, world: World) -> dict[str, float]:
    """`ratio_statistics` of the ratios of all processes."""
    own = ratio_statistics(ratio, advantage, clip=clip)
    count = world.total(torch.tensor(float(len(ratio)), dtype=torch.float64))
    sums = world.total(torch.tensor(own, dtype=torch.float64) * len(ratio))
    means = RatioStatistics(*(sums / count).tolist()) if count else own
    return {
        "ratio_mean": means.mean,
        "ratio_change": float(world.largest(torch.tensor(own.largest_change, dtype=torch.float64))),
        "ratio_clipped": means.outside,
        "ratio_silenced": means.silenced,
        "ratio_kl": means.kl,
    }
