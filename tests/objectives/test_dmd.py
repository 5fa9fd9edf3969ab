"""DMD on Gaussians: both scores are known, and so is the divergence."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from wmsd_core.objectives.dmd import critic_loss, dmd_loss, kl_gradient, matching_gradient
from wmsd_core.sampling.interpolation import noised

REAL = (0.4, 0.6)
"""Mean and deviation of the Demonstrator's data."""
NODES = 12


def field(x: Tensor, sigma: Tensor, mean: float, deviation: float) -> Tensor:
    """E[eps - x_0 | x] for data N(mean, deviation^2)."""
    s = sigma[:, None]
    spread = (1 - s) ** 2 * deviation**2 + s**2
    return (s - (1 - s) * deviation**2) / spread * (x - (1 - s) * mean) - mean


def quadrature() -> tuple[Tensor, Tensor, Tensor]:
    """Pairs of standard normal nodes [B, 2], of which the first latent is a given one, and their weights."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
    z, w = torch.from_numpy(nodes), torch.from_numpy(weights / weights.sum())
    n, eps = torch.cartesian_prod(z, z).unbind(1)
    return n[:, None].expand(-1, 2), eps[:, None].expand(-1, 2), torch.outer(w, w).flatten()


def divergence(mean: Tensor, deviation: Tensor, sigma: float) -> Tensor:
    """KL of the Executor's marginal at sigma from the Demonstrator's, in closed form."""
    a, b = (1 - sigma) * mean, (1 - sigma) * REAL[0]
    var_a, var_b = (1 - sigma) ** 2 * deviation**2 + sigma**2, (1 - sigma) ** 2 * REAL[1] ** 2 + sigma**2
    return (torch.log(var_b / var_a) + (var_a + (a - b) ** 2) / var_b - 1) / 2


@pytest.mark.parametrize("sigma", [0.2, 0.7])
@pytest.mark.parametrize("student", [(-0.3, 1.1), REAL])
def test_the_gradient_is_that_of_the_divergence_and_vanishes_at_the_demonstrator(
    student: tuple[float, float], sigma: float
) -> None:
    mean, deviation = (torch.tensor(p, dtype=torch.float64, requires_grad=True) for p in student)
    n, eps, weight = quadrature()
    level, active = torch.full((len(n),), sigma, dtype=torch.float64), torch.tensor([False, True]).expand(len(n), 2)
    x_0 = (mean + deviation * n).masked_fill(~active, math.nan)
    x = noised(x_0.detach(), eps, level, active)
    step = kl_gradient(field(x, level, *student), field(x, level, *REAL), active, sigma=level)
    (dmd_loss(x_0, step, active) * weight).sum().backward()
    exact = torch.autograd.grad(divergence(mean, deviation, sigma), [mean, deviation])
    for parameter, gradient in zip((mean, deviation), exact, strict=True):
        assert parameter.grad is not None
        assert float(parameter.grad) == pytest.approx(float(gradient), rel=1e-9, abs=1e-12)
    if student == REAL:
        assert all(abs(float(g)) < 1e-12 for g in exact)


def test_the_published_weight_makes_it_the_difference_of_predictions_over_the_distance() -> None:
    x_0, eps, v_fake, v_real = torch.randn(4, 2, 4, dtype=torch.float64)
    sigma = torch.tensor([0.8, 0.3], dtype=torch.float64)
    active = torch.tensor([False, True, True, True]).expand(2, 4)
    v_fake[:, 0], v_real[:, 0] = math.nan, math.inf
    x, s = noised(x_0, eps, sigma, active), sigma[:, None]
    result = matching_gradient(v_fake, v_real, x, x_0, active, sigma=sigma)
    fake, real = x - s * v_fake, x - s * v_real
    distance = (x_0 - real)[:, 1:].abs().mean(1, keepdim=True)
    torch.testing.assert_close(result[:, 1:], ((fake - real) / distance)[:, 1:])
    assert not result[:, 0].any()
    weight = s**2 / (1 - s) ** 2 / distance
    by_scores = kl_gradient(v_fake, v_real, active, sigma=sigma) * weight
    torch.testing.assert_close(result, by_scores)


def test_the_loss_hands_its_gradient_to_the_sample_and_to_nothing_else() -> None:
    x_0, step = torch.randn(2, 2, 4, dtype=torch.float64)
    active = torch.tensor([False, True, True, True]).expand(2, 4)
    x_0[:, 0] = math.nan
    x_0.requires_grad_()
    loss = dmd_loss(x_0, step, active)
    torch.testing.assert_close(loss.detach(), step[:, 1:].square().mean(1) / 2)
    loss.sum().backward()
    assert x_0.grad is not None and not x_0.grad[:, 0].any()
    torch.testing.assert_close(x_0.grad[:, 1:], step[:, 1:] / 3)


def test_the_critic_is_stationary_at_the_score_of_the_executor_and_only_there() -> None:
    """Among fields v = a x + b; the best has the coefficients of the closed form."""
    student, sigma = (-0.3, 1.1), 0.6
    n, eps, weight = quadrature()
    level, active = torch.full((len(n),), sigma, dtype=torch.float64), torch.tensor([False, True]).expand(len(n), 2)
    x_0 = student[0] + student[1] * n
    x = noised(x_0, eps, level, active)
    at = torch.tensor([[0.0], [1.0]], dtype=torch.float64)
    intercept, end = field(at, level[:2], *student).flatten().tolist()
    for change in (0.0, 0.1):
        a = torch.tensor(end - intercept + change, dtype=torch.float64, requires_grad=True)
        b = torch.tensor(intercept, dtype=torch.float64, requires_grad=True)
        loss = (critic_loss((a * x + b).masked_fill(~active, math.nan), x_0, eps, active, sigma=level) * weight).sum()
        gradients = torch.autograd.grad(loss, [a, b])
        spread = (1 - sigma) ** 2 * student[1] ** 2 + sigma**2
        mean = (1 - sigma) * student[0]
        # d/da of sigma^2 E (v - v*)^2 with v - v* = change x.
        assert float(gradients[0]) == pytest.approx(sigma**2 * 2 * change * (spread + mean**2), abs=1e-12)
        assert float(gradients[1]) == pytest.approx(sigma**2 * 2 * change * mean, abs=1e-12)


def test_the_critic_is_the_denoising_error_of_equation_18() -> None:
    x_0, eps, v = torch.randn(3, 2, 5, dtype=torch.float64)
    sigma, active = torch.tensor([0.8, 0.3], dtype=torch.float64), torch.ones(2, 5, dtype=torch.bool)
    prediction = noised(x_0, eps, sigma, active) - sigma[:, None] * v
    torch.testing.assert_close(critic_loss(v, x_0, eps, active, sigma=sigma), (prediction - x_0).square().mean(1))
