"""Equation 7 on a policy whose expectation can be summed exactly."""

import torch

from wmsd_core.objectives.anchor import anchor_loss
from wmsd_core.rewards.distillation import distillation_reward

STEPS, TRAJECTORIES, SIZE = 3, 5, 4


def test_the_score_term_and_the_regression_term_add_up_to_the_gradient_of_the_on_policy_objective() -> None:
    """J(theta) = sum over trajectories of p_theta(tau) C_theta(tau), with C the mean of delta over K states (eq. 5, 6).

    theta shapes both the distribution (a softmax) and the velocity field (a matrix), as in eq. 7:
    grad J = E[C grad log p] + E[grad C]; the first with C = -r_dist (eq. 9), the second with the anchor (eq. 11).
    """
    # Small, so that the softmax leaves every trajectory a probability and the score term a part.
    theta = (0.2 * torch.randn(SIZE, SIZE, dtype=torch.float64)).requires_grad_()
    start = torch.randn(TRAJECTORIES, SIZE, dtype=torch.float64)
    states = torch.randn(STEPS, TRAJECTORIES, SIZE, dtype=torch.float64)
    target = torch.randn(STEPS, TRAJECTORIES, SIZE, dtype=torch.float64)
    active = torch.tensor([True, True, True, False]).expand(TRAJECTORIES, SIZE)
    v = states @ theta
    log_p = torch.log_softmax((start @ theta).sum(1), 0)

    cost = ((v - target).square()[..., :3].sum(-1) / 3).mean(0)
    (exact,) = torch.autograd.grad((log_p.exp() * cost).sum(), theta, retain_graph=True)

    p = log_p.exp().detach()
    score = (p * -distillation_reward(v, target, active) * log_p).sum()
    regression = torch.stack([(p * anchor_loss(v[k], target[k], active)).sum() for k in range(STEPS)]).mean()
    (first,) = torch.autograd.grad(score, theta, retain_graph=True)
    (second,) = torch.autograd.grad(regression, theta)
    torch.testing.assert_close(first + second, exact, rtol=1e-10, atol=1e-12)
    # Neither term is the whole: an objective that drops one must not pass.
    assert first.norm() > 0.05 * exact.norm() and second.norm() > 0.05 * exact.norm()
