"""How far the Executor is from the Demonstrator at given states (paper eq. 4 and 6).

Departure: the paper writes squared norms and a time integral; these are means over generated latents and over the steps
of the sampler, so that weights carry over between resolutions and step counts.
"""

from jaxtyping import Float
from torch import Tensor

from wmsd_core.sampling.masking import generated, generated_mean
from wmsd_core.sampling.precision import widened
from wmsd_core.sampling.trajectory import Velocities
from wmsd_core.shapes import LatentMask, Latents, PerSample


def discrepancy(v: Latents, v_star: Latents, active: LatentMask) -> PerSample:
    """delta = mean over generated latents of (v - v*)^2 (eq. 4)."""
    return generated_mean(generated(widened(v) - widened(v_star), active).square(), active)


def step_costs(v_executor: Velocities, v_demonstrator: Velocities, active: LatentMask) -> Float[Tensor, "K B"]:
    """delta at each of K states of a trajectory; their mean over K is the trajectory's cost C (eq. 6)."""
    steps, batch = v_executor.shape[:2]
    repeated = active.expand(steps, *active.shape).flatten(0, 1)
    return discrepancy(v_executor.flatten(0, 1), v_demonstrator.flatten(0, 1), repeated).view(steps, batch)
