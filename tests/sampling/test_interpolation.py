"""The straight path, by numbers: a quarter of the way, and back."""

import torch

from wmsd_core.sampling.interpolation import denoised, noised

X_0 = torch.tensor([[[8.0], [-4.0]], [[2.0], [6.0]]], dtype=torch.float64)
EPS = torch.tensor([[[1.0], [20.0]], [[-2.0], [10.0]]], dtype=torch.float64)
SIGMA = torch.tensor([0.25, 0.5], dtype=torch.float64)
ACTIVE = torch.tensor([[[False], [True]], [[True], [True]]])


def test_noise_is_mixed_in_by_its_level_and_given_latents_stay_clean() -> None:
    expected = torch.tensor([[[8.0], [2.0]], [[0.0], [8.0]]], dtype=torch.float64)
    assert torch.equal(noised(X_0, EPS, SIGMA, ACTIVE), expected)


def test_the_velocity_leads_back_to_the_data_and_given_latents_stay() -> None:
    x = noised(X_0, EPS, SIGMA, ACTIVE)
    assert torch.equal(denoised(x, EPS - X_0, SIGMA.float(), ACTIVE), X_0)
    assert denoised(x.float(), (EPS - X_0).float(), SIGMA, ACTIVE).dtype == torch.float32
