import math
from typing import get_args

import pytest
import torch

from wmsd_core.sampling.choices import Times
from wmsd_core.sampling.interpolation import noised
from wmsd_core.sampling.levels import (
    discrete,
    logit_normal,
    step_of,
    steps_by_index,
    steps_by_level,
    stratified,
    training_levels,
    uniform,
)

DISTILLED = torch.tensor([1.0, 0.99375, 0.9875, 0.98125, 0.975, 0.909375, 0.725, 0.421875, 0.0], dtype=torch.float64)


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


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


@pytest.mark.parametrize(
    ("times", "count", "shares"),
    [
        ("discrete", 4, [0.25, 0.125, 0.125, 0.125, 0.125, 0.125, 0.125]),
        ("discrete_wo_init", 4, [0, 0.25, 0.125, 0.125, 0.25, 0.125, 0.125]),
        ("discrete_with_init", 4, [0.25, 0.125, 0.125, 0.125, 0.125, 0.125, 0.125]),
    ],
)
def test_published_index_policies_have_their_shares_of_eight_steps(
    times: Times, count: int, shares: list[float]
) -> None:
    """Timestep range .9 of 8 steps: 7 of them; with 4 training times. The last step is never trained."""
    steps = steps_by_index(8, 0.9)
    assert list(steps) == list(range(7))
    drawn = discrete(times, len(steps), batch=8000, count=count, generator=seeded())
    assert drawn.shape == (8000, count)
    share = drawn.flatten().bincount(minlength=8) / drawn.numel()
    torch.testing.assert_close(share, torch.tensor([*shares, 0.0]), atol=0.006, rtol=0)
    if times == "discrete_with_init":
        assert not drawn[:, 0].any()


@pytest.mark.parametrize("times", ["grid", "discrete", "discrete_wo_init", "discrete_with_init"])
def test_with_the_whole_range_every_policy_on_the_grid_trains_its_last_level(times: Times) -> None:
    sigma = training_levels(
        times, DISTILLED, batch=500, count=4, steps=steps_by_index(8, 1.0), shift=1.0, generator=seeded()
    )
    assert sigma.dtype == torch.float64 and (sigma == 0.421875).any() and not (sigma == 0).any()
    assert (sigma == 1).any() == (times != "discrete_wo_init")


def test_named_steps_are_drawn_evenly_and_twice_as_often_when_named_twice() -> None:
    sigma = training_levels(
        "grid", DISTILLED, batch=4000, count=2, steps=[0, 7, 7, 5], shift=3.0, generator=seeded()
    ).flatten()
    for level, share in ((1.0, 0.25), (0.421875, 0.5), (0.909375, 0.25)):
        assert float((sigma == level).double().mean()) == pytest.approx(share, abs=0.02)


@pytest.mark.parametrize(("shift", "mean"), [(1.0, 0.500), (3.0, 0.714)])
def test_a_shift_of_the_logit_normal_policy_pushes_towards_noise(shift: float, mean: float) -> None:
    """Mean level .714 with the published shift of 3. Exactly: E sigmoid(z + ln s), z standard normal."""
    drawn = logit_normal(batch=20_000, count=6, shift=shift, generator=seeded())
    z = torch.linspace(-8, 8, 4001, dtype=torch.float64)
    density = (-z.square() / 2).exp() / math.sqrt(2 * math.pi)
    exact = float(torch.trapezoid((z + math.log(shift)).sigmoid() * density, z))
    assert exact == pytest.approx(mean, abs=5e-4)
    assert float(drawn.mean()) == pytest.approx(exact, abs=2e-3)
    assert drawn.min() >= 0.01 and drawn.max() < 1


def test_a_shift_of_the_uniform_policy_pushes_towards_noise() -> None:
    """Mean of s t / (1 + (s - 1) t) over t in [.2, 1]: for s = 3, (3/2 t - 3/4 ln(1 + 2 t)) between the ends / .8."""
    exact = (1.5 * 0.8 - 0.75 * math.log(3 / 1.4)) / 0.8
    shifted_up = uniform(batch=20_000, count=6, shift=3.0, generator=seeded())
    assert float(shifted_up.mean()) == pytest.approx(exact, abs=2e-3) and exact > 0.75
    plain = uniform(batch=20_000, count=6, shift=1.0, generator=seeded())
    assert float(plain.mean()) == pytest.approx(0.6, abs=2e-3) and plain.min() >= 0.2 and plain.max() < 1


def test_continuous_policies_put_one_level_in_each_stratum() -> None:
    drawn = uniform(batch=200, count=4, shift=1.0, generator=seeded())
    assert torch.equal(((drawn - 0.2) / 0.2).long(), torch.arange(4).expand(200, 4))
    quarters = logit_normal(batch=200, count=4, shift=3.0, generator=seeded()).logit() - math.log(3)
    assert torch.equal((torch.special.ndtr(quarters) * 4).long(), torch.arange(4).expand(200, 4))


def test_a_timestep_range_counts_steps_or_time() -> None:
    assert list(steps_by_index(10, 0.99)) == list(range(9)) and len(steps_by_index(10, 1.0)) == 10
    assert len(steps_by_index(100, 0.29)) == 29, "29 per cent of 100, though .29 * 100 is below 29"
    assert steps_by_level(DISTILLED, least=0.1) == list(range(8))
    assert steps_by_level(torch.linspace(1, 0, 11, dtype=torch.float64), least=0.15) == list(range(9))


def test_the_step_that_passes_a_level() -> None:
    k = torch.arange(8)
    assert torch.equal(step_of(DISTILLED[:-1].view(2, 4), DISTILLED), k.view(2, 4))
    between = (DISTILLED[:-1] + DISTILLED[1:]) / 2
    assert torch.equal(step_of(between[None], DISTILLED), k[None])
    assert step_of(torch.tensor([[0.0]]), DISTILLED).item() == 7


def test_policies_that_cannot_be_followed_are_refused() -> None:
    with pytest.raises(ValueError, match="timestep range"):
        training_levels("grid", DISTILLED, batch=1, count=1, steps=[], shift=1.0, generator=seeded())
    with pytest.raises(ValueError, match="has 3: train fewer times"):
        discrete("discrete_wo_init", 4, batch=1, count=4, generator=seeded())


@pytest.mark.parametrize("times", get_args(Times))
def test_levels_by_name_are_those_of_their_function_in_float64_and_repeat_with_their_seed(times: Times) -> None:
    grid = torch.tensor([1.0, 0.9, 0.7, 0.4, 0.0], dtype=torch.float64)

    def drawn() -> torch.Tensor:
        generator = torch.Generator().manual_seed(4)
        return training_levels(times, grid, batch=50, count=2, steps=[0, 2], shift=2.0, generator=generator)

    generator = torch.Generator().manual_seed(4)
    shape = {"batch": 50, "count": 2, "generator": generator}
    expected = {
        "grid": lambda: grid[[0, 2]][stratified(2, **shape)],
        "uniform": lambda: uniform(**shape, shift=2.0),
        "logit_normal": lambda: logit_normal(**shape, shift=2.0),
    }.get(times, lambda: grid[discrete(times, 3, **shape)])()
    found = drawn()
    assert found.dtype == torch.float64 and torch.equal(found, drawn())
    assert torch.equal(found, expected)
    assert len(found.unique()) > (20 if "discrete" not in times and times != "grid" else 1)


def test_no_step_to_train_is_refused_and_as_many_points_as_strata_are_enough() -> None:
    grid, generator = torch.linspace(1, 0, 5, dtype=torch.float64), torch.Generator().manual_seed(0)
    with pytest.raises(ValueError, match="no step of the sampler may be trained"):
        training_levels("grid", grid, batch=1, count=1, steps=[], shift=1.0, generator=generator)
    assert discrete("discrete", 2, batch=3, count=2, generator=generator).tolist() == [[0, 1]] * 3
    with pytest.raises(ValueError, match="each of 3 training times, and has 2:"):
        discrete("discrete_with_init", 2, batch=1, count=3, generator=generator)
    assert steps_by_level(grid, least=0.5) == [0, 1, 2]
