import math

import numpy as np
import pytest
import torch
from torch import Tensor

from wmsd_core.objectives.flow_grpo import grpo_loss, guard_loss, mean_drift
from wmsd_core.objectives.kl import mean_kl, velocity_kl
from wmsd_core.sampling.sde import Transition, draw, log_prob, transition

AT = {
    "sigma": torch.tensor([0.9, 0.4], dtype=torch.float64),
    "sigma_next": torch.tensor([0.8, 0.1], dtype=torch.float64),
}
DT = AT["sigma_next"] - AT["sigma"]
ACTIVE = torch.ones(2, 6, dtype=torch.bool)


def step(x: Tensor, v: Tensor) -> Transition:
    return transition(x, v, **AT, sde="flow", strength=0.7)


def test_the_expected_gradient_is_that_of_the_expected_reward() -> None:
    """One latent, reward x'^2, whose expectation is mu^2 + std^2: its gradient is 2 mu dmu/dv. Exact by quadrature."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(8)
    z, weight = torch.from_numpy(nodes)[:, None], torch.from_numpy(weights / weights.sum())
    v = torch.tensor(0.4, dtype=torch.float64, requires_grad=True)
    x, active = torch.full((8, 1), 0.3, dtype=torch.float64), torch.ones(8, 1, dtype=torch.bool)
    levels = {
        "sigma": torch.full((8,), 0.7, dtype=torch.float64),
        "sigma_next": torch.full((8,), 0.5, dtype=torch.float64),
    }
    action = transition(x, v.expand(8, 1), **levels, sde="flow", strength=0.7)
    x_next = draw(action, x, z, active).detach()
    reward = x_next[:, 0].square()
    loss, _ = grpo_loss(log_prob(action, x_next, active, likelihood="gaussian"), None, reward, clip=1e-4)
    (loss * weight).sum().backward()
    mu = action.mean[0, 0].detach()
    slope = float(transition(x * 0, torch.ones(8, 1).double(), **levels, sde="flow", strength=0.7).mean[0])
    assert float(reward @ weight) == pytest.approx(float(mu**2 + action.std[0] ** 2), rel=1e-10)
    assert v.grad is not None and float(v.grad) == pytest.approx(-2 * float(mu) * slope, rel=1e-10)


def test_the_guarded_ratio_is_the_mean_of_noise_times_drift_and_the_loss_is_divided_by_the_step() -> None:
    """log r = mean z (mu - mu_old); opposite noises cancel, where plain log-ratios have mean -drift / (2 std^2)."""
    x, v, v_old, z = torch.randn(4, 2, 6, dtype=torch.float64)
    new, old = step(x, v_old + 0.01 * v), step(x, v_old)
    advantage = torch.tensor([1.0, -2.0], dtype=torch.float64)
    plain, guarded = [], []
    for noise in (z, -z):
        x_next = draw(old, x, noise, ACTIVE)
        logs = [log_prob(s, x_next, ACTIVE, likelihood="gaussian") for s in (new, old)]
        drift = mean_drift(new, old, ACTIVE)
        loss, ratio = guard_loss(*logs, drift, advantage, std=old.std, dt=DT, clip=1.0)
        torch.testing.assert_close(ratio.log(), (noise * (new.mean - old.mean)).mean(1))
        torch.testing.assert_close(loss, -advantage * ratio / -DT)
        plain.append(logs[0] - logs[1])
        guarded.append(ratio.log())
    torch.testing.assert_close(sum(guarded), torch.zeros(2, dtype=torch.float64), atol=1e-12, rtol=0)
    torch.testing.assert_close((plain[0] + plain[1]) / 2, -mean_drift(new, old, ACTIVE) / (2 * old.std**2))


def test_the_penalty_in_mean_space_is_the_divergence_of_the_steps_times_their_length() -> None:
    x, v, v_reference = torch.randn(3, 2, 6, dtype=torch.float64)
    v.requires_grad_()
    v_reference.requires_grad_()
    new, reference = step(x, v), step(x, v_reference)
    normals = [torch.distributions.Normal(s.mean, s.std[:, None]) for s in (new, reference)]
    exact = torch.distributions.kl_divergence(*normals).mean(1) * -DT
    value = mean_kl(new, reference, ACTIVE)
    torch.testing.assert_close(value, exact)
    value.sum().backward()
    slope = step(x * 0, torch.ones_like(x)).mean
    torch.testing.assert_close(v.grad, ((new.mean - reference.mean) * slope / new.g[:, None] ** 2 / 6).detach())
    assert v_reference.grad is None


def test_the_penalties_vanish_at_the_reference_and_see_no_given_latent() -> None:
    x, v = torch.randn(2, 2, 6, dtype=torch.float64)
    active = torch.tensor([False, *[True] * 5]).expand(2, 6)
    v[:, 0] = math.nan
    v.requires_grad_()
    for penalty in (velocity_kl(v, v, active), mean_kl(step(x, v), step(x, v), active)):
        assert not penalty.detach().any()
        (gradient,) = torch.autograd.grad(penalty.sum(), v)
        assert not gradient.any()
    reference = (v.detach() - 2).requires_grad_()
    away = velocity_kl(v, reference, active)
    torch.testing.assert_close(away.detach(), torch.full((2,), 4.0, dtype=torch.float64))
    gradient, none = torch.autograd.grad(away.sum(), [v, reference], allow_unused=True)
    torch.testing.assert_close(gradient[:, 1:], torch.full((2, 5), 2 * 2 / 5, dtype=torch.float64))
    assert none is None
