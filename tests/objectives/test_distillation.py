import math

import torch

from wmsd_core.objectives.anchor import anchor_loss
from wmsd_core.objectives.distillation import discrepancy, step_costs
from wmsd_core.objectives.off_policy import off_policy_loss


def test_discrepancy_is_the_mean_square_over_generated_latents_only() -> None:
    v = torch.tensor([[[100.0, 100.0], [1.0, 3.0]], [[0.0, 0.0], [2.0, 2.0]]])
    active = torch.tensor([False, True]).view(1, 2, 1).expand(2, 2, 1)
    torch.testing.assert_close(discrepancy(v, torch.zeros_like(v), active), torch.tensor([5.0, 4.0]))


def test_whatever_a_network_says_of_given_latents_reaches_neither_loss_nor_gradient() -> None:
    target = torch.randn(2, 4, dtype=torch.float64)
    active = torch.tensor([False, True, True, True]).expand(2, 4)
    executor = target + 2
    executor[:, 0], target[:, 0] = math.nan, math.inf
    executor.requires_grad_()
    for loss in (anchor_loss, off_policy_loss):
        value = loss(executor, target, active)
        torch.testing.assert_close(value, torch.full((2,), 4.0, dtype=torch.float64))
        (gradient,) = torch.autograd.grad(value.sum(), executor)
        torch.testing.assert_close(gradient[:, 1:], torch.full((2, 3), 2 * 2 / 3, dtype=torch.float64))
        assert not gradient[:, 0].any()
    assert step_costs(executor[None], target[None], active).isfinite().all()


def test_velocities_in_half_precision_are_compared_in_single() -> None:
    """1 against 1 + 2^-7 in 4095 of 4096 places and 3 in one: bfloat16 could not hold the mean."""
    v = torch.ones(1, 4096, dtype=torch.bfloat16, requires_grad=True)
    target = torch.full((1, 4096), 1 + 2**-7, dtype=torch.bfloat16)
    target[0, 0] = 3
    delta = discrepancy(v, target, torch.ones(1, 4096, dtype=torch.bool))
    torch.testing.assert_close(delta, torch.tensor([(4 + 4095 * 2**-14) / 4096]), rtol=1e-6, atol=0)
    delta.sum().backward()
    assert v.grad is not None and v.grad.dtype == torch.bfloat16 and v.grad.all()


def test_regressions_vanish_with_their_gradient_at_the_demonstrator_and_are_four_at_distance_two() -> None:
    target = torch.randn(3, 4, dtype=torch.float64)
    active = torch.ones(3, 4, dtype=torch.bool)
    for loss in (anchor_loss, off_policy_loss):
        at = target.clone().requires_grad_()
        loss(at, target, active).sum().backward()
        assert at.grad is not None and not at.grad.any()
        away = (target + 2).requires_grad_()
        value = loss(away, target, active)
        value.sum().backward()
        torch.testing.assert_close(value, torch.full((3,), 4.0, dtype=torch.float64))
        torch.testing.assert_close(away.grad, torch.full((3, 4), 2 * 2 / 4, dtype=torch.float64))


def test_regressions_send_no_gradient_to_the_demonstrator() -> None:
    active = torch.ones(1, 2, dtype=torch.bool)
    for loss in (anchor_loss, off_policy_loss):
        executor, demonstrator = torch.ones(1, 2, requires_grad=True), torch.zeros(1, 2, requires_grad=True)
        loss(executor, demonstrator, active).sum().backward()
        assert executor.grad is not None and demonstrator.grad is None


def test_step_costs_are_the_discrepancies_of_each_step() -> None:
    executor, demonstrator = torch.randn(2, 5, 3, 4, 2, dtype=torch.float64)
    active = torch.tensor([True, False, True, True]).view(1, 4, 1).expand(3, 4, 1)
    costs = step_costs(executor, demonstrator, active)
    assert costs.shape == (5, 3)
    torch.testing.assert_close(costs[2], discrepancy(executor[2], demonstrator[2], active))
