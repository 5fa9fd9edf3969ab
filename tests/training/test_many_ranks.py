"""128 ranks of one run, one after the other: one stream of groups, and the mean of their gradients is that of one."""

import torch
from torch import Tensor

from wmsd_core.objectives.advantages import gdpo_advantages
from wmsd_core.training.groups import GroupSampler

RANKS, GROUPS, SAMPLES, WIDTH = 128, 256, 4, 16


def samplers(world: int) -> list[GroupSampler]:
    return [GroupSampler(examples=1000, per_step=GROUPS, seed=3, rank=rank, world=world) for rank in range(world)]


def test_128_ranks_share_one_stream_of_groups() -> None:
    (whole,), shares = samplers(1), samplers(RANKS)
    for _ in range(5):
        assert [slot for share in shares for slot in share.next()] == whole.next()


def gradient(weights: Tensor, world: int) -> Tensor:
    """Of one step: each rank rolls out its own groups and means its own losses. Rewards are gathered, as `Credit` does, and
    gradients averaged, as `World.average_gradients` does."""
    shares = [share.next() for share in samplers(world)]
    states = [torch.stack([_states(slot.position, slot.example) for slot in share]) for share in shares]
    rewards = torch.cat([(share @ weights.detach()).sin() for share in states])
    unread = (
        torch.arange(rewards.numel()).view_as(rewards) % 7 == 0
    )  # a reward that could not be had, on some ranks only
    gathered = torch.stack([rewards.masked_fill(unread, torch.nan), rewards**2])
    credit = gdpo_advantages(gathered, weights=(0.8, 0.2), floors=(1e-6, 1e-6), batch_floor=1e-6).values
    found: list[Tensor] = []
    for mine, advantages in zip(states, credit.chunk(world), strict=True):
        loss = (-advantages * (mine @ weights).tanh() + 0.1 * (mine @ weights).square()).mean()
        found.append(torch.autograd.grad(loss, weights)[0])
    return torch.stack(found).mean(0)


def _states(position: int, example: int) -> Tensor:
    generator = torch.Generator().manual_seed(1000 * position + example)
    return torch.randn(SAMPLES, WIDTH, dtype=torch.float64, generator=generator)


def test_the_mean_gradient_of_128_ranks_is_that_of_one() -> None:
    weights = torch.linspace(-1, 1, WIDTH, dtype=torch.float64, requires_grad=True)
    one, many = gradient(weights, 1), gradient(weights, RANKS)
    assert float(one.abs().max()) > 1e-3
    torch.testing.assert_close(many, one, rtol=1e-12, atol=1e-15)
