import math

import pytest
import torch

from wmsd_core.objectives.surrogate import clipped_surrogate, log_ratio, ratio_statistics


def test_a_policy_that_is_its_own_old_one_has_ratio_one_exactly_and_a_gradient() -> None:
    ell = torch.tensor([-0.3, -1e-9, -7e4], requires_grad=True)
    advantage = torch.tensor([2.0, -0.5, 1.0], dtype=torch.float64)
    loss, ratio = clipped_surrogate(log_ratio(ell, None), advantage, clip=1e-5)
    assert torch.equal(ratio, torch.ones(3, dtype=torch.float64)) and not ratio.requires_grad
    loss.sum().backward()
    torch.testing.assert_close(ell.grad, -advantage.float())


def test_the_ratio_of_nearly_equal_likelihoods_is_resolved_and_the_old_one_has_no_gradient() -> None:
    """1e-9 apart at -3: float32 could not tell them apart."""
    ell = torch.tensor([-3.0 + 1e-9], dtype=torch.float64, requires_grad=True)
    old = torch.tensor([-3.0], requires_grad=True)
    change = log_ratio(ell, old)
    assert float(change.detach()) == pytest.approx(1e-9, rel=1e-5)
    change.sum().backward()
    assert old.grad is None and ell.grad is not None


def test_statistics_count_what_the_clip_does() -> None:
    """Ratios 1.3, .6 and .7 lie outside 1 +- .2; their advantages push 1.3 and .7 further out, and pull .6 back."""
    ratio = torch.tensor([[1.3, 0.6, 0.7], [1.1, 1.0, 1.0]], dtype=torch.float64)
    advantage = torch.tensor([[1.0, 1.0, -1.0], [-1.0, 0.0, 0.0]], dtype=torch.float64)
    statistics = ratio_statistics(ratio, advantage, clip=0.2)
    assert statistics.mean == pytest.approx(0.95) and statistics.largest_change == pytest.approx(0.4)
    assert statistics.outside == pytest.approx(3 / 6) and statistics.silenced == pytest.approx(2 / 6)
    assert statistics.kl == pytest.approx(-0.05 - sum(math.log(r) for r in (1.3, 0.6, 0.7, 1.1)) / 6)
    loss, _ = clipped_surrogate(change := ratio.log().requires_grad_(), advantage, clip=0.2)
    loss.sum().backward()
    assert change.grad is not None and int((change.grad == 0).sum()) == 4, "two silenced, and two without advantage"


def test_statistics_of_nothing_and_of_an_unmoved_policy_say_that_nothing_moved() -> None:
    for ratio in (torch.ones(0), torch.ones(3)):
        assert ratio_statistics(ratio, ratio, clip=1e-5) == (1.0, 0.0, 0.0, 0.0, 0.0)


def test_what_pushes_nowhere_is_not_silenced_and_a_ratio_at_the_clip_is_inside() -> None:
    """Beyond the clip with an advantage of 0; and at 1 + .25, which binary numbers hold exactly."""
    beyond = ratio_statistics(torch.tensor([2.0]), torch.tensor([0.0]), clip=0.25)
    assert (beyond.outside, beyond.silenced) == (1, 0)
    at_it = ratio_statistics(torch.tensor([1.25]), torch.tensor([1.0]), clip=0.25)
    assert (at_it.outside, at_it.silenced) == (0, 0)
