import math
from itertools import pairwise

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from torch import Tensor

from wmsd_core.sampling.choices import Sde
from wmsd_core.sampling.ode import trajectory
from wmsd_core.sampling.sde import draw, log_prob, stochastic_trajectory, transition

SDES: tuple[Sde, ...] = ("flow", "dance", "cps")
DISTILLED = torch.tensor([1.0, 0.99375, 0.9875, 0.98125, 0.975, 0.909375, 0.725, 0.421875, 0.0], dtype=torch.float64)
MEAN, VARIANCE = 0.5, 0.09


def levels(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def gaussian_field(x: Tensor, sigma: Tensor) -> Tensor:
    """E[eps - x_0 | x] for data N(.5, .09), in closed form."""
    s = sigma.view(-1, *[1] * (x.ndim - 1)).to(x)
    spread = (1 - s) ** 2 * VARIANCE + s**2
    return (s - (1 - s) * VARIANCE) / spread * (x - (1 - s) * MEAN) - MEAN


def test_flow_and_dance_steps_are_the_published_ones() -> None:
    x, v = torch.randn(2, 1, 5, dtype=torch.float64)
    s, s_next, a = 0.7, 0.55, 0.6
    dt = s_next - s
    g = a * math.sqrt(s / (1 - s))
    flow = transition(x, v, sigma=levels(s), sigma_next=levels(s_next), sde="flow", strength=a)
    torch.testing.assert_close(flow.mean, x * (1 + g**2 * dt / (2 * s)) + v * (1 + g**2 * (1 - s) / (2 * s)) * dt)
    assert float(flow.std) == pytest.approx(g * math.sqrt(-dt), rel=1e-12) and float(flow.g) == pytest.approx(g)
    dance = transition(x, v, sigma=levels(s), sigma_next=levels(s_next), sde="dance", strength=a)
    score_term = 0.5 * a**2 * (x - (1 - s) * (x - s * v)) / s**2
    torch.testing.assert_close(dance.mean, x + (v + score_term) * dt)
    assert float(dance.std) == pytest.approx(a * math.sqrt(-dt), rel=1e-12)


def test_cps_keeps_the_coefficients_of_data_and_noise() -> None:
    """mean = (1 - sigma') x_0 + n eps with n^2 + std^2 = sigma'^2, when v is the sample's own eps - x_0."""
    x_0, eps = torch.randn(2, 1, 5, dtype=torch.float64)
    s, s_next, a = 0.7, 0.55, 0.6
    x = (1 - s) * x_0 + s * eps
    step = transition(x, eps - x_0, sigma=levels(s), sigma_next=levels(s_next), sde="cps", strength=a)
    std = s_next * math.sin(a * math.pi / 2)
    assert float(step.std) == pytest.approx(std, rel=1e-12)
    torch.testing.assert_close(step.mean, (1 - s_next) * x_0 + math.sqrt(s_next**2 - std**2) * eps)


@pytest.mark.parametrize(
    ("sde", "strength", "expected"),
    [
        ("flow", 0.7, [0.700, 0.698, 0.492, 0.400, 1.120, 0.952, 0.626, 0.388]),
        ("cps", 0.8, [0.945, 0.939, 0.933, 0.927, 0.865, 0.690, 0.401, 0.0]),
    ],
)
def test_noise_of_every_step_of_the_distilled_grid(sde: Sde, strength: float, expected: list[float]) -> None:
    """Worked out by hand from the published formulas; the first level is 1, where 1 - sigma' stands for 1 - sigma."""
    x = torch.zeros(8, 1)
    step = transition(x, x, sigma=DISTILLED[:-1], sigma_next=DISTILLED[1:], sde=sde, strength=strength)
    torch.testing.assert_close(step.std, levels(*expected), atol=5.1e-4, rtol=0)


def test_a_first_level_that_a_shift_has_rounded_is_pure_noise_too() -> None:
    x = torch.ones(2, 3)
    step = transition(x, x, sigma=levels(1.0, 1 - 1e-9), sigma_next=levels(0.9, 0.9), sde="flow", strength=0.7)
    torch.testing.assert_close(step.std, torch.full((2,), 0.7 * math.sqrt(0.1 / 0.1), dtype=torch.float64))
    assert step.mean.isfinite().all()


def marginal(sde: Sde, strength: float, grid: Tensor) -> tuple[float, float]:
    """Mean and variance at the end, from the true marginal at grid[0], without sampling: every step is linear in x."""
    start = float(grid[0])
    mean, variance = (1 - start) * MEAN, (1 - start) ** 2 * VARIANCE + start**2
    for s, s_next in pairwise(grid.tolist()):
        x = torch.tensor([[0.0], [1.0]], dtype=torch.float64)
        at = {"sigma": levels(s, s), "sigma_next": levels(s_next, s_next)}
        # The last step follows the ODE.
        step = transition(x, gaussian_field(x, at["sigma"]), **at, sde=sde, strength=strength if s_next else 0.0)
        intercept = float(step.mean[0])
        slope = float(step.mean[1]) - intercept
        mean, variance = slope * mean + intercept, slope**2 * variance + float(step.std[0]) ** 2
    return mean, variance


def even(start: float, steps: int) -> Tensor:
    return torch.linspace(start, 0, steps + 1, dtype=torch.float64)


@pytest.mark.parametrize(("sde", "strength"), [("dance", 0.0), ("dance", 0.7), ("flow", 0.7)])
def test_the_marginal_of_the_data_is_kept_up_to_the_step(sde: Sde, strength: float) -> None:
    """Strength 0 is the ODE. The mean is exact; the error of the variance halves with the step, as it does for the ODE."""
    results = [marginal(sde, strength, even(0.9, k)) for k in (100, 200, 400, 800)]
    assert all(mean == pytest.approx(MEAN, abs=1e-12) for mean, _ in results)
    errors = [abs(variance - VARIANCE) for _, variance in results]
    slopes = [math.log2(a / b) for a, b in pairwise(errors)]
    assert all(0.95 < slope < 1.05 for slope in slopes) and 1e-7 < errors[-1] < 1e-3, (errors, slopes)


def test_the_first_step_from_pure_noise_is_too_wide_by_a_known_amount_whatever_its_length() -> None:
    """With 1 - sigma' for 1 - sigma, slope 1 - a^2 / 2 and variance a^2 add up to 1 + a^4 / 4 (less what the ODE does).

    The following steps forget it: the sample's variance is right within a few per cent.
    """
    a, s_next = 0.7, 1 - 1e-6
    x = torch.tensor([[0.0], [1.0]], dtype=torch.float64)
    step = transition(
        x,
        gaussian_field(x, levels(1, 1)),
        sigma=levels(1, 1),
        sigma_next=levels(s_next, s_next),
        sde="flow",
        strength=a,
    )
    slope = float(step.mean[1] - step.mean[0])
    assert slope**2 + float(step.std[0]) ** 2 == pytest.approx(1 + a**4 / 4, abs=1e-5)
    assert marginal("flow", a, even(1.0, 50))[1] == pytest.approx(VARIANCE, rel=0.03)


def test_cps_on_expectations_makes_samples_too_alike_and_more_steps_do_not_cure_it() -> None:
    weak, strong = (marginal("cps", a, even(1.0, 800))[1] for a in (0.2, 0.7))
    assert 0.95 * VARIANCE < weak < VARIANCE and 0.65 * VARIANCE < strong < 0.75 * VARIANCE


@pytest.mark.parametrize("sde", SDES)
def test_log_probability_is_the_mean_log_density_over_generated_latents(sde: Sde) -> None:
    """Against torch.distributions, with NaN and infinity where latents are given; and d/dv = (x' - mean) b / (std^2 D)."""
    x, v, x_next = torch.randn(3, 2, 4, 3, dtype=torch.float64)
    active = torch.tensor([False, True, True, True]).view(1, 4, 1).expand(2, 4, 1)
    v[:, 0], x_next[:, 0] = math.nan, math.inf
    v.requires_grad_()
    at = {"sigma": levels(0.9, 0.4), "sigma_next": levels(0.8, 0.1)}
    step = transition(x, v, **at, sde=sde, strength=0.6)
    density = torch.distributions.Normal(step.mean[:, 1:], step.std.view(2, 1, 1))
    value = log_prob(step, x_next, active, likelihood="gaussian")
    torch.testing.assert_close(value, density.log_prob(x_next[:, 1:]).mean((1, 2)))
    value.sum().backward()
    slope = transition(x * 0, torch.ones_like(x), **at, sde=sde, strength=0.6).mean
    expected = (x_next - step.mean.detach()) * slope / step.std.view(2, 1, 1) ** 2 / 9
    assert v.grad is not None and not v.grad[:, 0].any()
    torch.testing.assert_close(v.grad[:, 1:], expected[:, 1:])
    unscaled = log_prob(step, x_next, active, likelihood="unscaled")
    torch.testing.assert_close(unscaled, -(x_next - step.mean)[:, 1:].square().mean((1, 2)))


def test_full_strength_cps_is_the_stochastic_sampler_of_diffusers() -> None:
    scheduler = FlowMatchEulerDiscreteScheduler(shift=1.0, stochastic_sampling=True)
    scheduler.set_timesteps(sigmas=DISTILLED[:-1].tolist())
    theirs, ours, source = torch.Generator().manual_seed(3), torch.Generator().manual_seed(3), torch.Generator()
    start = torch.randn(2, 3, generator=source.manual_seed(0))
    active = torch.ones(2, 3, dtype=torch.bool)
    x = start
    for t, sigma in zip(scheduler.timesteps, DISTILLED[:-1], strict=True):
        x = scheduler.step(gaussian_field(x, sigma.expand(2)), t, x, generator=theirs).prev_sample
    path = stochastic_trajectory(
        gaussian_field,
        start,
        DISTILLED,
        active,
        stochastic=range(7),
        noise=lambda k: torch.randn(2, 3, generator=ours),
        sde="cps",
        strength=1.0,
    )
    torch.testing.assert_close(path.final, x, atol=1e-5, rtol=0)


def walk(x: Tensor, active: Tensor, stochastic: list[int], sde: Sde = "flow", seed: int = 0):
    source = torch.Generator().manual_seed(seed)

    def noise(k: int) -> Tensor:
        z = torch.randn(x.shape, generator=source, dtype=torch.float64)
        return z.masked_fill(~active.expand_as(z), math.nan).to(x.dtype)

    return stochastic_trajectory(
        gaussian_field, x, even(1.0, 10), active, stochastic=stochastic, noise=noise, sde=sde, strength=0.7
    )


def test_steps_that_are_not_named_follow_the_ode_and_given_latents_stay_bit_identical() -> None:
    x = torch.randn(2, 3, 4)
    active = torch.tensor([False, True, True]).view(1, 3, 1).expand(2, 3, 1)
    ode = trajectory(gaussian_field, x, even(1.0, 10), active)
    assert torch.equal(walk(x, active, []).states, ode.states)
    path = walk(x, active, [2, 3])
    assert torch.equal(path.states[:3], ode.states[:3]) and not torch.equal(path.states[3], ode.states[3])
    assert torch.equal(path.states[:, :, 0], x[None, :, 0].expand(11, 2, 4)) and path.states.isfinite().all()


@pytest.mark.parametrize("storage", [torch.float16, torch.float32])
def test_replay_from_kept_states_gives_the_same_bits_in_any_batch(storage: torch.dtype) -> None:
    """The state is rounded to its storage type before its log-probability, so nothing is left to differ."""
    x, active, grid = torch.randn(3, 5).to(storage), torch.ones(3, 5, dtype=torch.bool), even(1.0, 10)
    path = walk(x, active, [1, 4])
    assert path.states.dtype == storage
    for k in (1, 4):
        at = {"sigma": grid[k].expand(3), "sigma_next": grid[k + 1].expand(3)}
        old = transition(path.states[k], path.velocities[k], **at, sde="flow", strength=0.7)
        new = transition(path.states[k], gaussian_field(path.states[k], at["sigma"]), **at, sde="flow", strength=0.7)
        z = (path.states[k + 1].double() - old.mean.double()) / old.std[:, None]
        assert z.square().mean() < 4, "what was drawn lies where the step says"
        both = [log_prob(step, path.states[k + 1], active, likelihood="gaussian") for step in (old, new)]
        assert torch.equal(*both) and old.mean.dtype == torch.float32
        row = transition(
            path.states[k, 1:2],
            path.velocities[k, 1:2],
            sigma=grid[k : k + 1],
            sigma_next=grid[k + 1 : k + 2],
            sde="flow",
            strength=0.7,
        )
        assert torch.equal(log_prob(row, path.states[k + 1, 1:2], active[:1], likelihood="gaussian"), both[0][1:2])


def test_levels_are_not_rounded_to_the_storage_of_states() -> None:
    seen: list[float] = []

    def field(x: Tensor, sigma: Tensor) -> Tensor:
        seen.append(float(sigma[0]))
        return x

    x, active = torch.zeros(1, 2, dtype=torch.bfloat16), torch.ones(1, 2, dtype=torch.bool)
    stochastic_trajectory(field, x, DISTILLED, active, stochastic=[], noise=lambda k: x, sde="cps", strength=0.3)
    assert seen == DISTILLED[:-1].float().tolist(), "the nearest bfloat16 to .99375 is .9922"


def test_drawn_states_have_the_mean_and_deviation_of_the_step() -> None:
    """40 000 latents: the mean is known to .005 deviations, the deviation to .4 %."""
    x = torch.full((1, 40_000), 0.3)
    z = torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    step = transition(
        x, gaussian_field(x, levels(0.8)), sigma=levels(0.8), sigma_next=levels(0.6), sde="dance", strength=0.7
    )
    moved = draw(step, x, z, torch.ones_like(x, dtype=torch.bool))
    assert float(moved.std()) == pytest.approx(float(step.std), rel=0.015)
    assert float(moved.mean() - step.mean.mean()) == pytest.approx(0, abs=0.02 * float(step.std))


@pytest.mark.parametrize(("sde", "step"), [("flow", 10), ("cps", 9), ("dance", -1)])
def test_a_step_that_cannot_be_random_is_refused(sde: Sde, step: int) -> None:
    x, active = torch.zeros(1, 2), torch.ones(1, 2, dtype=torch.bool)
    with pytest.raises(ValueError, match=rf"\[{step}\] cannot be random"):
        walk(x, active, [step], sde)
    assert walk(x, active, [8] if sde == "cps" else [9], sde).final.isfinite().all()


def test_each_random_step_asks_for_noise_of_its_own() -> None:
    asked: list[int] = []

    def noise(k: int) -> torch.Tensor:
        asked.append(k)
        return torch.zeros(1, 2)

    stochastic_trajectory(
        lambda x, _: -x,
        torch.ones(1, 2),
        torch.linspace(1, 0, 5, dtype=torch.float64),
        torch.ones(1, 2, dtype=torch.bool),
        stochastic=[2, 0],
        noise=noise,
        sde="flow",
        strength=0.5,
    )
    assert asked == [0, 2]
