"""From rollouts to advantages: rewards, their aggregation, and what is reported about them."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from wmsd_core.objectives.advantages import Advantages, clipped, flat_groups, gdpo_advantages, grpo_advantages
from wmsd_core.rewards.total import total_reward
from wmsd_core.shapes import Groups
from wmsd_core.training.batch import Batch
from wmsd_core.training.config import RewardConfig, TrainConfig
from wmsd_core.training.distributed import World
from wmsd_core.training.rollout import Rollouts
from wmsd_core.training.scoring import VideoRewards


class Rewards(NamedTuple):
    videos: VideoRewards
    agreement: Float[Tensor, "K P G"] | None
    """Distillation reward of each step."""


class Credit(NamedTuple):
    advantages: Float[Tensor, "C B"]
    """C = K with per-step credit, else 1: one advantage for the whole trajectory."""
    metrics: dict[str, Any]


def agreement(batch: Batch, rollouts: Rollouts, passed: Bool[Tensor, " P"]) -> Float[Tensor, "K P G"] | None:
    """The distillation reward of each step, where the Demonstrator was evaluated along the trajectories; like all rewards
    in the memory of the CPU. To agree with one that has not passed brings nothing: 0 for the whole group."""
    if rollouts.agreement is None:
        return None
    found = rollouts.agreement.view(-1, len(batch.slots), batch.group_size).cpu()
    return torch.where(passed[:, None], found, 0.0)


def assign(rewards: Rewards, config: TrainConfig, world: World) -> Credit:
    """Advantages of this process's samples, from the rewards of all, and the metrics of rewards and advantages."""
    videos = {name: world.gather(values, 0) for name, values in rewards.videos.values.items()}
    agreement = None if rewards.agreement is None else world.gather(rewards.agreement, 1)
    steps = agreement
    if steps is not None and not config.rewards.per_step:
        steps = steps.mean(0, keepdim=True)
    parts = [aggregate(videos, step, config) for step in ([None] if steps is None else steps)]
    limit, rescale = config.rewards.advantage_clip, config.rewards.advantage_rescale
    advantages = torch.stack([clipped(part.values, limit=limit, rescale=rescale) for part in parts])
    named = videos | ({} if agreement is None else {"distillation": agreement.mean(0)})
    floors = [_floor(name, value, config.rewards) for name, value in named.items()]
    metrics: dict[str, Any] = {
        "reward": {name: float(value.nanmean()) for name, value in named.items()},
        "reward_spread": {name: float(value.std(1, correction=0).nanmean()) for name, value in named.items()},
        "unread": world.count(rewards.videos.unread),
        "unscored": parts[0].unscored,
        "flat_groups": parts[0].flat,
        "flat": dict(zip(named, flat_groups(torch.stack([*named.values()]), floors=floors), strict=True)),
        "advantage_size": float(advantages.abs().mean()),
    }
    if rewards.videos.first_frame is not None:
        first = world.total(torch.tensor(rewards.videos.first_frame)) / world.size
        metrics["pickscore_of_first_frame"] = float(first)
    return Credit(advantages.chunk(world.size, 1)[world.rank].flatten(1), metrics)


def silenced(row: Mapping[str, Any], config: TrainConfig) -> list[str]:
    """The rewards that told no two rollouts of a group apart in a step with these metrics."""
    flat: Mapping[str, int] = row.get("flat", {})
    return [name for name, groups in flat.items() if groups == config.tasks_per_step]


def aggregate(videos: dict[str, Groups], agreement: Groups | None, config: TrainConfig) -> Advantages:
    """Advantages from the rewards of videos and the distillation reward of one step or of the whole trajectory."""
    settings: RewardConfig = config.rewards
    values, weights = list(videos.values()), [config.video_rewards[name] for name in videos]
    floors = [_floor(name, value, settings) for name, value in videos.items()]
    if agreement is not None:
        values, weights = [*values, agreement.double()], [*weights, config.rewards.distillation]
        floors = [*floors, _floor("distillation", agreement, settings)]
    stacked = torch.stack(values)
    if settings.aggregation == "sum":
        # The total is dominated by judged rewards wherever there are any; its unit is theirs.
        return grpo_advantages(total_reward(stacked, weights=weights), floor=floors[0])
    return gdpo_advantages(stacked, weights=weights, floors=floors, batch_floor=settings.batch_floor)


def _floor(name: str, values: Groups, settings: RewardConfig) -> float:
    """The least deviation within a group that counts as a difference in this reward."""
    match name:
        case "pickscore":
            return settings.pickscore_floor
        case "distillation":
            unit = float(values.double().mean().abs()) if settings.distillation_relative else 1.0
            return settings.distillation_floor * unit
        case _:
            return settings.judged_floor
