import math

import pytest
import torch
from torch import Tensor

from wmsd_core.objectives.nft import nft_loss, old_decay, optimality

SIGMA = torch.tensor([0.9, 0.3], dtype=torch.float64)
ACTIVE = torch.tensor([False, True, True, True]).expand(2, 4)


def batch(seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """v, v_old, x, x_0 and the target eps - x_0; NaN and infinity where latents are given."""
    source = torch.Generator().manual_seed(seed)
    v, v_old, x_0, eps = torch.randn(4, 2, 4, dtype=torch.float64, generator=source)
    x = (1 - SIGMA[:, None]) * x_0 + SIGMA[:, None] * eps
    target = eps - x_0
    for latents, value in ((v, math.nan), (v_old, math.inf), (x, math.nan), (x_0, math.nan)):
        latents[:, 0] = value
    return v, v_old, x, x_0, target


@pytest.mark.parametrize("beta", [1.0, 0.1])
def test_loss_and_gradient_are_those_of_the_published_formulas(beta: float) -> None:
    """dL/dv = limit 2 sigma / D (-r (x+ - x_0) / w+ + (1 - r) (x- - x_0) / w-), by hand."""
    v, v_old, x, x_0, _ = batch(0)
    v.requires_grad_()
    r = torch.tensor([0.8, 0.1], dtype=torch.float64)
    result = nft_loss(v, v_old, x, x_0, ACTIVE, sigma=SIGMA, r=r, beta=beta, limit=5.0)
    result.loss.sum().backward()
    s, e = SIGMA[:, None], [t.detach()[:, 1:] for t in (v, v_old, x, x_0)]
    plus = e[2] - s * (beta * e[0] + (1 - beta) * e[1]) - e[3]
    minus = e[2] - s * ((1 + beta) * e[1] - beta * e[0]) - e[3]
    w_plus, w_minus = plus.abs().mean(1, keepdim=True), minus.abs().mean(1, keepdim=True)
    fit_plus, fit_minus = ((t**2 / w).mean(1) for t, w in ((plus, w_plus), (minus, w_minus)))
    torch.testing.assert_close(result.loss, 5 * (r * fit_plus / beta + (1 - r) * fit_minus / beta))
    torch.testing.assert_close(result.positive, fit_plus)
    torch.testing.assert_close(result.negative, fit_minus)
    by_hand = 5 * 2 * s / 3 * (-r[:, None] * plus / w_plus + (1 - r[:, None]) * minus / w_minus)
    assert v.grad is not None and not v.grad[:, 0].any()
    torch.testing.assert_close(v.grad[:, 1:], by_hand)


def test_at_the_optimum_loss_and_gradient_vanish() -> None:
    """v = v_old = eps - x_0 predicts x_0 exactly; the floor of w keeps 0 / 0 away."""
    _, _, x, x_0, target = batch(1)
    v = target.clone().requires_grad_()
    result = nft_loss(v, target, x, x_0, ACTIVE, sigma=SIGMA, r=SIGMA, beta=1.0, limit=5.0)
    result.loss.sum().backward()
    assert float(result.loss.detach().max()) < 1e-20
    assert v.grad is not None and float(v.grad.abs().max()) < 1e-9


def test_on_policy_a_neutral_sample_has_no_gradient_and_good_and_bad_ones_opposite_gradients() -> None:
    v, _, x, x_0, _ = batch(2)
    gradients: list[Tensor] = []
    for good in (0.5, 0.9, 0.1):
        at = v.clone().requires_grad_()
        r = torch.full((2,), good, dtype=torch.float64)
        nft_loss(at, at, x, x_0, ACTIVE, sigma=SIGMA, r=r, beta=0.5, limit=5.0).loss.sum().backward()
        assert at.grad is not None
        gradients.append(at.grad)
    torch.testing.assert_close(gradients[0], torch.zeros(2, 4, dtype=torch.float64), atol=1e-14, rtol=0)
    torch.testing.assert_close(gradients[1], -gradients[2])
    error = x - SIGMA[:, None] * v - x_0
    assert ((gradients[1] * -error)[:, 1:] >= 0).all(), "a good sample is fitted: x - sigma v moves towards x_0"


def test_optimality_is_the_clipped_advantage_on_the_unit_interval() -> None:
    r = optimality(torch.tensor([-9.0, -5.0, -1.0, 0.0, 2.5, 7.0]), limit=5.0)
    torch.testing.assert_close(r, torch.tensor([0.0, 0.0, 0.4, 0.5, 0.75, 1.0]))


def test_the_old_policy_follows_by_the_published_schedules() -> None:
    assert [old_decay(k, flat=0, rate=0.0, limit=0.0) for k in (0, 500)] == [0, 0]
    assert [old_decay(k, flat=0, rate=0.001, limit=0.5) for k in (0, 100, 900)] == [0, pytest.approx(0.1), 0.5]
    assert [old_decay(k, flat=75, rate=0.0075, limit=0.999) for k in (75, 95, 999)] == [0, pytest.approx(0.15), 0.999]
