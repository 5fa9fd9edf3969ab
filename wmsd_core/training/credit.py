"""From rollouts to advantages: rewards, their aggregation, and what is reported about them."""

from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from wmsd_core.objectives.advantages import Advantages, clipped, gdpo_advantages, grpo_advantages
from wmsd_core.rewards.distillation import step_rewards
from wmsd_core.rewards.gating import gated
from wmsd_core.rewards.judged import judged
from wmsd_core.rewards.total import total_reward
from wmsd_core.shapes import Groups, Videos
from wmsd_core.training.batch import Batch
from wmsd_core.training.config import RewardConfig, TrainConfig
from wmsd_core.training.rollout import Rollouts
from wmsd_core.vlm.protocol import VisionLanguageModel


class Rewards(NamedTuple):
    judged: dict[str, Groups]
    agreement: Float[Tensor, "K P G"] | None
    """Distillation reward of each step."""
    unread: dict[str, int]


class Credit(NamedTuple):
    advantages: Float[Tensor, "C B"]
    """C = K with per-step credit, else 1: one advantage for the whole trajectory."""
    metrics: dict[str, Any]


def reward(batch: Batch, rollouts: Rollouts, judge: VisionLanguageModel | None, config: TrainConfig) -> Rewards:
    """All rewards of a step."""
    groups = (len(batch.slots), config.group_size)
    values: dict[str, Groups] = {}
    unread: dict[str, int] = {}
    if config.judged and judge:
        prompts = [f"judge_{name}" for name in config.judged]
        tasks = [batch.examples[row // config.group_size].task for row in batch.rows.tolist()]
        rewards, unread = judged(judge.log_odds, prompts, tasks, _videos(batch, rollouts, config.micro_batch))
        values = {name: row.view(groups) for name, row in zip(config.judged, rewards, strict=True)}
        if config.rewards.gate_consistency and "consistency" in values:
            values["consistency"] = gated(values["consistency"].flatten(), values["task"].flatten()).view(groups)
    agreement = None
    if config.distillation_weight and rollouts.targets is not None:
        agreement = step_rewards(rollouts.path.velocities, rollouts.targets, rollouts.active).view(-1, *groups)
    return Rewards(values, agreement, unread)


def assign(rewards: Rewards, config: TrainConfig) -> Credit:
    """Advantages of every sample, and the metrics of rewards and advantages."""
    agreement = rewards.agreement
    if agreement is not None and not config.rewards.per_step:
        agreement = agreement.mean(0, keepdim=True)
    parts = [aggregate(rewards.judged, step, config) for step in ([None] if agreement is None else agreement)]
    limit, rescale = config.rewards.advantage_clip, config.rewards.advantage_rescale
    advantages = torch.stack([clipped(part.values, limit=limit, rescale=rescale).flatten() for part in parts])
    named = rewards.judged | ({} if rewards.agreement is None else {"distillation": rewards.agreement.mean(0)})
    metrics: dict[str, Any] = {
        "reward": {name: float(value.nanmean()) for name, value in named.items()},
        "reward_spread": {name: float(value.std(1, correction=0).nanmean()) for name, value in named.items()},
        "unread": rewards.unread,
        "unscored": parts[0].unscored,
        "flat_groups": parts[0].flat,
        "advantage_size": float(advantages.abs().mean()),
    }
    return Credit(advantages, metrics)


def aggregate(judgments: dict[str, Groups], agreement: Groups | None, config: TrainConfig) -> Advantages:
    """Advantages from judged rewards and the distillation reward of one step or of the whole trajectory."""
    settings: RewardConfig = config.rewards
    values, weights = list(judgments.values()), list(config.judged.values())
    floors = [settings.judged_floor] * len(values)
    if agreement is not None:
        values, weights = [*values, agreement.double()], [*weights, config.distillation_weight]
        floors = [*floors, settings.distillation_floor]
    stacked = torch.stack(values)
    if settings.aggregation == "sum":
        # The total is dominated by judged rewards wherever there are any; its unit is theirs.
        return grpo_advantages(total_reward(stacked, weights=weights), floor=floors[0])
    return gdpo_advantages(stacked, weights=weights, floors=floors, batch_floor=settings.batch_floor)


def _videos(batch: Batch, rollouts: Rollouts, micro_batch: int) -> Videos:
    return np.concatenate([batch.generator.decode(part) for part in rollouts.path.final.split(micro_batch)])
