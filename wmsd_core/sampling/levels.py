"""Which noise levels are trained on.

Every way here says sigma itself, 1 being noise. Shifts push towards noise, as published; an implementation that
shifts "progress of denoising" instead trains at a mean level of .29 where the authors of AWM train at .71.
"""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from wmsd_core.sampling.choices import Times
from wmsd_core.shapes import Grid, PerLevel

LEAST_LOGIT_NORMAL = 0.01
"""Lower clamp of `logit_normal`; the published value."""
LEAST_UNIFORM = 0.2
"""Lower end of `uniform` before its shift; the published value."""


def training_levels(
    times: Times,
    grid: Grid,
    *,
    batch: int,
    count: int,
    steps: Sequence[int],
    shift: float,
    generator: torch.Generator,
) -> PerLevel:
    """`count` noise levels per sample, float64, drawn in one of the ways of this file.

    grid                  one of the grid points named in `steps`, evenly; a step named twice is drawn twice as often
    discrete...           the published draws from the first max(steps) + 1 grid points
    uniform, logit_normal anywhere in (0, 1], whatever the grid; with `shift`

    Raises:
        ValueError: no steps, or too few for `discrete...` to fill `count` strata.
    """
    if not len(steps):
        raise ValueError("no step of the sampler may be trained: raise the timestep range or the number of steps")
    match times:
        case "grid":
            drawn = stratified(len(steps), batch=batch, count=count, generator=generator)
            return grid.double()[torch.as_tensor(steps)[drawn]]
        case "uniform":
            return uniform(batch=batch, count=count, shift=shift, generator=generator)
        case "logit_normal":
            return logit_normal(batch=batch, count=count, shift=shift, generator=generator)
        case _:
            drawn = discrete(times, max(steps) + 1, batch=batch, count=count, generator=generator)
            return grid.double()[drawn]


def stratified(choices: int, *, batch: int, count: int, generator: torch.Generator) -> Int[Tensor, "B N"]:
    """`count` indices in [0, choices) per sample: i_bn = floor(choices (n + u_bn) / count), u_bn uniform in [0, 1).

    One draw falls in each of `count` equal strata, and over all draws every index has probability 1 / choices. The
    published samplers exclude their upper end, so that the last real step of the grid never receives a gradient
    (.42 on the distilled grid of LTX-2); here it is drawn like any other.
    """
    # (count - 1) + u can round up to count.
    return (_strata(batch, count, generator) * choices / count).long().clamp(max=choices - 1)


def discrete(times: Times, stop: int, *, batch: int, count: int, generator: torch.Generator) -> Int[Tensor, "B N"]:
    """Grid indices as the authors of AWM draw them: one from each [floor b_n, floor b_n+1), b = linspace(start, stop).

    `discrete` starts at 0, `discrete_wo_init` at 1; `discrete_with_init` always takes 0, and the others from 1 on.
    Strata are cut at whole numbers, so indices are not equally likely: of 7 in 4 strata the first has 25 %, the others
    12.5 %. `stop` is excluded: with `steps_by_index(K, .9)` the last steps are never trained; give K to train them all.

    Raises:
        ValueError: there are fewer indices than strata.
    """
    forced = times == "discrete_with_init"
    start, strata = (0 if times == "discrete" else 1), count - forced
    if stop - start < strata:
        raise ValueError(
            f"{times} needs a different grid point for each of {count} training times, and has {stop - start + forced}: "
            "train fewer times, raise the timestep range, or take times 'grid'"
        )
    edges = torch.linspace(start, stop, strata + 1, dtype=torch.float64).floor().long()
    widths = edges.diff()
    u = torch.rand(batch, strata, dtype=torch.float64, generator=generator)
    drawn = edges[:-1] + (u * widths).long().clamp(max=widths - 1)
    return torch.cat([drawn.new_zeros(batch, 1), drawn], 1) if forced else drawn


def uniform(*, batch: int, count: int, shift: float, generator: torch.Generator) -> PerLevel:
    """sigma = shifted(tau), tau stratified in [.2, 1] (as published: lower levels are not trained)."""
    return shifted(LEAST_UNIFORM + (1 - LEAST_UNIFORM) * _strata(batch, count, generator) / count, shift)


def logit_normal(*, batch: int, count: int, shift: float, generator: torch.Generator) -> PerLevel:
    """sigma = shifted(sigmoid(Phi^-1(u))) with u stratified in (0, 1), and not below .01.

    A shift s adds ln s to the logit: the mean level is .5 without a shift and .714 with s = 3.
    """
    z = torch.special.ndtri(_strata(batch, count, generator) / count)
    return shifted(z.sigmoid(), shift).clamp(min=LEAST_LOGIT_NORMAL)


def shifted(tau: Float[Tensor, "..."], shift: float) -> Float[Tensor, "..."]:
    """sigma = s tau / (1 + (s - 1) tau) (Esser et al. 2024, arXiv:2403.03206, eq. 23): s > 1 pushes towards noise."""
    return shift * tau / (1 + (shift - 1) * tau)


def steps_by_index(steps: int, fraction: float) -> range:
    """The first floor(steps fraction) of a sampler's steps: `timestep_fraction` of Flow-GRPO and of the authors of AWM.

    .99 of 10 steps leaves out the last one, .9 of 8 steps too; 1 is all.
    """
    # The fraction is meant in decimals: .29 of 100 steps are 29, though .29 * 100 rounds to 28.999...
    return range(math.floor(round(steps * fraction, 9)))


def steps_by_level(grid: Grid, *, least: float) -> list[int]:
    """The steps of a grid that start at sigma >= least: a timestep range of .9 read as a range of *time* is least = .1.

    On the distilled grid of LTX-2, which never goes below .42, that is every step, where `steps_by_index` drops one.
    """
    return [k for k, sigma in enumerate(grid.tolist()[:-1]) if sigma >= least]


def step_of(sigma: PerLevel, grid: Grid) -> Int[Tensor, "B N"]:
    """The step of the sampler that passes each level: grid[k] >= sigma > grid[k + 1]. For credit by step (A.3)."""
    ascending = grid.double().flip(0)
    above = torch.searchsorted(ascending, sigma.double(), right=False)
    return (len(grid) - 1 - above).clamp(0, len(grid) - 2)


def _strata(batch: int, count: int, generator: torch.Generator) -> PerLevel:
    """n + u_bn: one uniform number in each of [0, 1), [1, 2), ... [count - 1, count)."""
    u = torch.rand(batch, count, dtype=torch.float64, generator=generator)
    return torch.arange(count, dtype=torch.float64) + u
