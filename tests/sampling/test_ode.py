import math
from itertools import pairwise

import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from torch import Tensor

from wmsd_core.sampling.ode import sample, trajectory

ACTIVE = torch.ones(2, 3, dtype=torch.bool)


def curved(x: Tensor, sigma: Tensor) -> Tensor:
    """dx/dsigma = x cos(sigma): x(0) = x(1) exp(-sin 1)."""
    return x * sigma.cos().view(-1, 1)


def even(steps: int) -> Tensor:
    return torch.linspace(1, 0, steps + 1, dtype=torch.float64)


def test_the_error_of_the_euler_sampler_is_of_first_order() -> None:
    start = torch.tensor([[1.0, -2.0, 0.5], [3.0, 0.1, -1.0]], dtype=torch.float64)
    exact = start * math.exp(-math.sin(1))
    errors = [float((sample(curved, start, even(k), ACTIVE) - exact).abs().max()) for k in (32, 64, 128, 256)]
    slopes = [math.log2(a / b) for a, b in pairwise(errors)]
    assert all(abs(slope - 1) < 0.05 for slope in slopes), slopes


def test_the_straight_flow_between_data_and_noise_is_integrated_exactly() -> None:
    x_0, eps = torch.randn(2, 2, 3, dtype=torch.float64)
    for steps in (1, 7):
        torch.testing.assert_close(sample(lambda x, s: eps - x_0, eps, even(steps), ACTIVE), x_0)


def test_equals_the_scheduler_of_diffusers_on_the_distilled_grid() -> None:
    grid = torch.tensor([1.0, 0.99375, 0.9875, 0.98125, 0.975, 0.909375, 0.725, 0.421875, 0.0], dtype=torch.float64)
    start = torch.randn(2, 3, generator=torch.Generator().manual_seed(0))
    scheduler = FlowMatchEulerDiscreteScheduler(shift=1.0)
    scheduler.set_timesteps(sigmas=grid[:-1].tolist())
    x = start
    for t, sigma in zip(scheduler.timesteps, grid[:-1], strict=True):
        x = scheduler.step(curved(x, sigma.float().expand(2)), t, x).prev_sample
    torch.testing.assert_close(sample(curved, start, grid, ACTIVE), x, atol=1e-5, rtol=0)


def test_given_latents_are_never_stepped() -> None:
    start = torch.randn(2, 3)
    active = torch.tensor([[False, True, True]]).expand(2, 3)
    end = sample(lambda x, s: torch.ones_like(x), start, even(4), active)
    assert torch.equal(end[:, 0], start[:, 0])
    torch.testing.assert_close(end[:, 1:], start[:, 1:] - 1)


def test_a_trajectory_holds_each_state_with_its_noise_level_and_velocity() -> None:
    start, grid = torch.randn(2, 3, dtype=torch.float64), even(5) ** 2
    path = trajectory(curved, start, grid, ACTIVE)
    assert path.states.shape == (6, 2, 3) and path.velocities.shape == (5, 2, 3)
    assert torch.equal(path.states[0], start) and torch.equal(path.final, sample(curved, start, grid, ACTIVE))
    for k in range(5):
        assert torch.equal(path.velocities[k], curved(path.states[k], grid[k].expand(2)))
