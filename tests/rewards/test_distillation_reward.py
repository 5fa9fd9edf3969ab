import torch

from wmsd_core.rewards.distillation import distillation_reward, step_rewards


def test_the_reward_is_zero_at_the_demonstrator_and_minus_four_at_distance_two_without_gradient() -> None:
    target = torch.randn(3, 2, 4, dtype=torch.float64)
    active = torch.ones(2, 4, dtype=torch.bool)
    assert torch.equal(distillation_reward(target, target, active), torch.zeros(2, dtype=torch.float64))
    away = (target + 2).requires_grad_()
    reward = distillation_reward(away, target, active)
    torch.testing.assert_close(reward, torch.full((2,), -4.0, dtype=torch.float64))
    assert not reward.requires_grad


def test_the_trajectory_is_paid_the_mean_of_its_steps_and_given_latents_are_not_looked_at() -> None:
    target = torch.zeros(3, 1, 2)
    executor = torch.tensor([[[1.0, 50.0]], [[2.0, 50.0]], [[3.0, 50.0]]])
    active = torch.tensor([[True, False]])
    torch.testing.assert_close(step_rewards(executor, target, active)[:, 0], torch.tensor([-1.0, -4.0, -9.0]))
    torch.testing.assert_close(distillation_reward(executor, target, active), torch.tensor([-14 / 3]))
