import math

import torch

from wmsd_core.sampling.masking import generated, generated_mean


def test_the_mean_is_over_generated_latents_whatever_the_given_ones_hold() -> None:
    x = torch.tensor([[math.nan, 1.0, 3.0], [math.inf, -math.inf, 5.0]], requires_grad=True)
    active = torch.tensor([[False, True, True], [False, False, True]])
    mean = generated_mean(x, active)
    torch.testing.assert_close(mean, torch.tensor([2.0, 5.0]))
    mean.sum().backward()
    torch.testing.assert_close(x.grad, torch.tensor([[0.0, 0.5, 0.5], [0.0, 0.0, 1.0]]))


def test_no_gradient_reaches_given_latents_through_a_square() -> None:
    x = torch.tensor([[math.nan, 2.0]], requires_grad=True)
    generated(x, torch.tensor([[False, True]])).square().sum().backward()
    torch.testing.assert_close(x.grad, torch.tensor([[0.0, 4.0]]))


def test_a_mask_broadcasts_over_channels() -> None:
    x = torch.arange(12.0).view(1, 3, 4)
    active = torch.tensor([False, True, True]).view(1, 3, 1)
    torch.testing.assert_close(generated_mean(x, active), torch.tensor([7.5]))
