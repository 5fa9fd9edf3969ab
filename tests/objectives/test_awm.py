import math

import pytest
import torch

from wmsd_core.objectives.awm import awm_loss, log_likelihood
from wmsd_core.objectives.distillation import discrepancy
from wmsd_core.sampling.choices import Ratio, Weighting

S = 1e-10


@pytest.mark.parametrize(
    ("weighting", "value", "slope"),
    [
        ("uniform", -0.5, -1.0),
        ("sigma", -0.8 * 0.5, -0.8),
        ("sigma2", -0.64 * 0.5, -0.64),
        ("huber", -0.8 * (math.sqrt(0.5 + S) - 1e-5), -0.8 * 0.5 / math.sqrt(0.5 + S)),
        ("ghuber", -0.8 / 0.3 * ((0.5 + S) ** 0.3 - S**0.3), -0.8 * (0.5 + S) ** (0.3 - 1)),
    ],
)
def test_each_weighting_has_its_value_and_gradient_factor(weighting: Weighting, value: float, slope: float) -> None:
    m = torch.tensor([[0.5]], dtype=torch.float64, requires_grad=True)
    ell = log_likelihood(m, torch.tensor([[0.8]], dtype=torch.float64), weighting=weighting, power=0.3)
    ell.sum().backward()
    assert float(ell.detach()) == pytest.approx(value, rel=1e-12)
    assert m.grad is not None and float(m.grad) == pytest.approx(slope, rel=1e-12)
    perfect = log_likelihood(torch.zeros(1, 1), torch.ones(1, 1), weighting=weighting, power=0.3)
    assert perfect.dtype == torch.float64 and abs(float(perfect)) < 1e-15


@pytest.mark.parametrize("ratio", ["exp_first", "sum_first"])
def test_on_policy_gradient_is_the_advantage_times_the_matching_gradient(ratio: Ratio) -> None:
    """d/dv of sum_b L_b = A_b 2 (v - target) sigma m^(p-1) / (D N), by hand."""
    v, target = torch.randn(2, 6, 5, dtype=torch.float64)
    v.requires_grad_()
    sigma = torch.tensor([[0.9, 0.4, 0.2], [1.0, 0.7, 0.3]], dtype=torch.float64)
    advantage = torch.tensor([1.5, -0.7], dtype=torch.float64)
    m = discrepancy(v, target, torch.ones(6, 5, dtype=torch.bool))
    ell = log_likelihood(m.view(2, 3), sigma, weighting="ghuber", power=0.25)
    loss = awm_loss(ell, None, advantage[:, None].expand(2, 3), clip=1.0, ratio=ratio)
    assert torch.equal(loss.ratio, torch.ones_like(loss.ratio))
    torch.testing.assert_close(loss.loss, -advantage)
    loss.loss.sum().backward()
    factor = advantage.repeat_interleave(3) * sigma.flatten() * (m.detach() + S) ** -0.75
    expected = factor[:, None] * 2 * (v.detach() - target) / (5 * 3)
    torch.testing.assert_close(v.grad, expected, rtol=1e-10, atol=0)


@pytest.mark.parametrize(
    ("change", "advantage", "gradient"),
    [
        (math.log(1.5), 2.0, 0.0),  # already likelier than the clip allows: no more push
        (math.log(1.5), -2.0, 2.0 * 1.5),  # likelier though bad: pulled back, with the ratio's weight
        (math.log(0.5), 2.0, -2.0 * 0.5),  # unlikelier though good: pushed
        (math.log(0.5), -2.0, 0.0),  # already unlikelier than the clip allows
        (math.log(1.1), 2.0, -2.0 * 1.1),  # inside the clip
    ],
)
def test_past_the_clip_only_the_direction_back_has_a_gradient(change: float, advantage: float, gradient: float) -> None:
    old = torch.tensor([[-0.3]], dtype=torch.float64)
    ell = (old + change).requires_grad_()
    loss = awm_loss(ell, old, torch.full_like(old, advantage), clip=0.2, ratio="exp_first")
    loss.loss.sum().backward()
    assert ell.grad is not None and float(ell.grad) == pytest.approx(gradient, abs=1e-12)
    expected = max(-advantage * math.exp(change), -advantage * min(max(math.exp(change), 0.8), 1.2))
    assert float(loss.loss.detach()) == pytest.approx(expected, rel=1e-12)


def test_sum_first_has_one_ratio_per_sample_from_the_mean_of_its_times() -> None:
    old = torch.zeros(1, 2, dtype=torch.float64)
    ell = torch.tensor([[math.log(1.5), math.log(0.6)]], dtype=torch.float64)
    advantage = torch.ones_like(ell)
    each = awm_loss(ell, old, advantage, clip=0.2, ratio="exp_first")
    whole = awm_loss(ell, old, advantage, clip=0.2, ratio="sum_first")
    assert float(each.loss) == pytest.approx(-(1.2 + 0.6) / 2)
    assert float(whole.loss) == pytest.approx(-math.sqrt(1.5 * 0.6)) and whole.ratio.shape == (1, 1)


def test_no_gradient_reaches_the_old_likelihood() -> None:
    ell, old = torch.zeros(1, 1, requires_grad=True), torch.zeros(1, 1, requires_grad=True)
    awm_loss(ell, old, torch.ones(1, 1), clip=1.0, ratio="exp_first").loss.sum().backward()
    assert ell.grad is not None and old.grad is None


def test_terms_are_the_losses_of_each_ratio_without_a_gradient() -> None:
    ell = torch.tensor([[-0.5, -0.2], [-1.0, -0.1]], dtype=torch.float64, requires_grad=True)
    advantage = torch.tensor([[2.0, -1.0], [0.5, 3.0]], dtype=torch.float64)
    found = awm_loss(ell, None, advantage, clip=1.0, ratio="exp_first")
    torch.testing.assert_close(found.terms, -advantage)
    assert not found.terms.requires_grad and torch.equal(found.terms.mean(1), found.loss.detach())
