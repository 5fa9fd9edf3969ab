import torch

from wmsd_core.sampling import noised, stratified


def test_every_level_is_drawn_equally_often_the_last_one_included() -> None:
    generator = torch.Generator().manual_seed(0)
    drawn = stratified(8, batch=6000, count=3, generator=generator)
    share = drawn.flatten().bincount(minlength=8) / drawn.numel()
    torch.testing.assert_close(share, torch.full((8,), 1 / 8), atol=0.01, rtol=0)


def test_draws_of_a_sample_fall_into_separate_strata() -> None:
    drawn = stratified(8, batch=100, count=4, generator=torch.Generator().manual_seed(1))
    assert torch.equal(drawn // 2, torch.arange(4).expand(100, 4))
    many = stratified(3, batch=50, count=6, generator=torch.Generator().manual_seed(1))
    assert torch.equal(many, torch.tensor([0, 0, 1, 1, 2, 2]).expand(50, 6))


def test_noising_interpolates_generated_latents_and_leaves_given_ones_clean() -> None:
    x_0, eps = torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([[10.0, 20.0], [30.0, 40.0]])
    active = torch.tensor([[True, False], [True, True]])
    x = noised(x_0, eps, torch.tensor([0.25, 1.0]), active)
    torch.testing.assert_close(x, torch.tensor([[3.25, 2.0], [30.0, 40.0]]))
