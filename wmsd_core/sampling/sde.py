"""Random steps of a sampler, with their log-probabilities (Flow-GRPO, DanceGRPO, CPS).

A step from sigma to sigma' < sigma draws x' ~ N(mu, std^2) on generated latents, with mu linear in x and v. With
dt = sigma' - sigma, and a the strength that is set:

    flow   g = a sqrt(sigma / (1 - sigma))              Liu et al. 2025, arXiv:2505.05470
    dance  g = a                                        Xue et al. 2025, arXiv:2505.07818
           both: mu = x + (v + g^2 / (2 sigma) (x + (1 - sigma) v)) dt,    std = g sqrt(-dt)
    cps    std = sigma' sin(a pi / 2)                   Wang and Yu 2025, arXiv:2509.05952
           mu = (1 - sigma') (x - sigma v) + sigma' cos(a pi / 2) (x + (1 - sigma) v)

-(x + (1 - sigma) v) / sigma is the score, so the first two are Euler-Maruyama steps of an SDE with the marginals of the
ODE. Their traps, all of the published forms:
- flow at sigma = 1 is infinite; the published remedy, taken here, is 1 - sigma' in place of 1 - sigma. The first step then
  has variance 1 + a^4 / 4 instead of 1, however short it is.
- flow and dance leave noise in the sample when the last step (sigma' = 0) is random; with cps it is not random at all.
  Published configurations leave that step out (`steps_by_index` with .99).
- On coarse grids the first two inject more noise than the next level holds: on the distilled grid of LTX-2 with a = .7,
  1.12 at .975 -> .909. `cps` cannot, as std <= sigma', and is the one to use there, with a small a.
- cps keeps the noise level of x' exactly when x - sigma v and x + (1 - sigma) v are a sample's data and noise. They are
  expectations, so that samples become too alike, and more steps do not cure it: on a Gaussian field the variance ends
  28 % short with a = .7, and 3 % with .2.
"""

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from wmsd_core.sampling.choices import Likelihood, Sde
from wmsd_core.sampling.masking import generated, generated_mean
from wmsd_core.sampling.ode import Velocity, euler_step
from wmsd_core.sampling.precision import widened
from wmsd_core.sampling.trajectory import Trajectory
from wmsd_core.shapes import Grid, LatentMask, Latents, PerSample

PURE_NOISE = 1 - 1e-6
"""Levels above this are sigma = 1, whatever rounding a shift has left."""


@dataclass(frozen=True)
class Transition:
    """x' ~ N(mean, std^2) on generated latents; `mean` has no meaning on given ones."""

    mean: Latents
    std: PerSample
    g: PerSample
    """Strength per unit of noise level, std / sqrt(-dt); for cps std itself. What the published penalties divide by."""


def transition(
    x: Latents, v: Latents, *, sigma: PerSample, sigma_next: PerSample, sde: Sde, strength: float
) -> Transition:
    """The random step from x at `sigma` to `sigma_next`; float64 levels, at least float32 arithmetic.

    A function of its arguments alone: the same x, v and levels give the same bits at rollout and when replayed.
    """
    sigma, sigma_next = sigma.to(x.device, torch.float64), sigma_next.to(x.device, torch.float64)
    dt = sigma_next - sigma
    if sde == "cps":
        std = g = sigma_next * math.sin(strength * math.pi / 2)
        data, noise = 1 - sigma_next, sigma_next * math.cos(strength * math.pi / 2)
        on_x, on_v = data + noise, noise * (1 - sigma) - data * sigma
    else:
        finite = torch.where(sigma > PURE_NOISE, sigma_next, sigma)
        g = strength * ((sigma / (1 - finite)).sqrt() if sde == "flow" else torch.ones_like(sigma))
        std = g * (-dt).sqrt()
        pull = g.square() / (2 * sigma)
        on_x, on_v = 1 + pull * dt, (1 + pull * (1 - sigma)) * dt
    x, v = widened(x), widened(v)
    return Transition(_per_sample(on_x, x).to(x) * x + _per_sample(on_v, x).to(v) * v, std, g)


def draw(step: Transition, x: Latents, z: Latents, active: LatentMask) -> Latents:
    """x' = mean + std z on generated latents, in the dtype of x; given latents stay bit-identical.

    The rounding to that dtype comes before any log-probability: replay sees the state that was kept.
    """
    moved = step.mean + _per_sample(step.std, x).to(step.mean) * z.to(step.mean)
    return torch.where(active, moved.to(x.dtype), x)


def log_prob(step: Transition, x_next: Latents, active: LatentMask, *, likelihood: Likelihood) -> PerSample:
    """log N(x'; mean, std^2), the mean over generated latents instead of their sum; float64.

    gaussian: mean of -(x' - mean)^2 / (2 std^2) - log std - log(2 pi) / 2
    unscaled: mean of -(x' - mean)^2, published with cps; ratios are then nearer to 1 by 2 std^2, and clips narrower

    The mean makes a ratio independent of the size of a video. A clip of 1e-4 belongs to it.
    A step without noise (sigma' = 0 of cps) has no log-probability: gaussian gives an infinity or NaN there.
    """
    error = generated_mean(generated(x_next.double() - step.mean.double(), active).square(), active)
    if likelihood == "unscaled":
        return -error
    return -error / (2 * step.std.square()) - step.std.log() - math.log(2 * math.pi) / 2


def stochastic_trajectory(
    velocity: Velocity,
    x: Latents,
    grid: Grid,
    active: LatentMask,
    *,
    stochastic: Collection[int],
    noise: Callable[[int], Latents],
    sde: Sde,
    strength: float,
) -> Trajectory:
    """Random steps where `stochastic` names them, Euler steps of the ODE elsewhere; states are kept in the dtype of x.

    Keep them in float32 or float16: bfloat16 is coarser than the first steps of a distilled grid.

    `noise(k)` is the standard normal noise of step k. For k in `stochastic`, log-probabilities under the sampling policy
    follow from `states[k]`, `velocities[k]` and `states[k + 1]` alone: no further pass of the network.

    Raises:
        ValueError: a step that the grid does not have, or the last step of cps.
    """
    last = len(grid) - 2 if sde != "cps" else len(grid) - 3
    if bad := sorted(k for k in stochastic if not 0 <= k <= last):
        raise ValueError(f"steps {bad} cannot be random: with {sde}, choose from 0 to {last}")
    states, velocities = [x], []
    for k, (sigma, sigma_next) in enumerate(pairwise(grid.tolist())):
        x = states[-1]
        levels = torch.tensor([sigma, sigma_next], dtype=torch.float64, device=x.device).expand(len(x), 2)
        # A half-precision state must not round the level: .99375 is none of float16's numbers.
        v = velocity(x, x.new_full((len(x),), sigma, dtype=torch.promote_types(x.dtype, torch.float32)))
        velocities.append(v)
        if k in stochastic:
            step = transition(x, v, sigma=levels[:, 0], sigma_next=levels[:, 1], sde=sde, strength=strength)
            states.append(draw(step, x, noise(k), active))
        else:
            moved = euler_step(widened(x), widened(v), active, sigma=sigma, sigma_next=sigma_next)
            states.append(moved.to(x.dtype))
    return Trajectory(grid, torch.stack(states), torch.stack(velocities))


def _per_sample(values: PerSample, x: Latents) -> Tensor:
    return values.view(-1, *[1] * (x.ndim - 1))
