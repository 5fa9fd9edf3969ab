"""Flow-GRPO (Liu et al. 2025, arXiv:2505.05470; section A.9 of the paper) and GRPO-Guard (arXiv:2510.22319).

Every random step of a sampler (`sampling.sde`) is an action; its log-probability is that of the Gaussian it was drawn
from. One row here is one (rollout, random step): rows with different steps may share a batch. The old log-probability
comes from the rollout's own states and velocities, so the old policy is never evaluated again.

Published: clip 1e-4 for `gaussian` log-probabilities and 1e-5 for `unscaled` ones (means over latents, not sums),
advantages clamped to +-5, strength .7 (cps .8).
"""

from wmsd_core.objectives.surrogate import PerRatio, Surrogate, clipped_surrogate, log_ratio
from wmsd_core.sampling.masking import generated, generated_mean
from wmsd_core.sampling.sde import Transition
from wmsd_core.shapes import LatentMask, PerSample


def grpo_loss(log_prob: PerRatio, log_prob_old: PerRatio | None, advantage: PerRatio, *, clip: float) -> Surrogate:
    """max(-A r, -A clamp(r, 1 - clip, 1 + clip)) with r = exp(log p - sg log p_old); None is the policy itself.

    Even in the first update, log p_old of the rollout differs from log p by rounding when the two passes were batched or
    compiled differently, easily by more than a clip of 1e-5. None leaves that out.
    """
    return clipped_surrogate(log_ratio(log_prob, log_prob_old), advantage, clip=clip)


def guard_loss(
    log_prob: PerSample,
    log_prob_old: PerSample,
    drift: PerSample,
    advantage: PerSample,
    *,
    std: PerSample,
    dt: PerSample,
    clip: float,
) -> Surrogate:
    """grpo_loss / (-dt) with log r = std (log p - log p_old + drift / (2 std^2)) and `gaussian` log-probabilities.

    Under the old policy log p - log p_old has mean -drift / (2 std^2) and deviation proportional to 1 / std: ratios lie
    below 1 and clip more often the lower the noise. The guarded log r = mean of z (mu - mu_old), z being the step's
    noise, has mean 0 and one scale. Division by -dt then gives all steps gradients of one size.
    """
    change = std * (log_ratio(log_prob, log_prob_old) + drift.double() / (2 * std.square()))
    loss, ratio = clipped_surrogate(change, advantage, clip=clip)
    return Surrogate(loss / -dt, ratio)


def mean_drift(step: Transition, old: Transition, active: LatentMask) -> PerSample:
    """mean over generated latents of (mu - sg mu_old)^2, float64."""
    moved = generated(step.mean.double() - old.mean.detach().double(), active)
    return generated_mean(moved.square(), active)
