"""Names of the published variants, for signatures and configurations alike; imports no torch."""

from typing import Literal

Weighting = Literal["uniform", "sigma", "sigma2", "huber", "ghuber"]
"""How the matching error at a noise level becomes a log-likelihood: see `awm.log_likelihood`."""
Ratio = Literal["exp_first", "sum_first"]
"""One likelihood ratio per noise level, or one per sample: see `awm.awm_loss`."""
Deviation = Literal["group", "batch"]
"""Over what the total reward's standard deviation is taken: see `advantages.grpo_advantages`."""
Times = Literal["grid", "discrete", "discrete_wo_init", "discrete_with_init", "uniform", "logit_normal"]
"""Which noise levels are trained: see `sampling.levels.training_levels`."""
Sde = Literal["flow", "dance", "cps"]
"""How a sampler's step is made random: see `sampling.sde.transition`."""
Likelihood = Literal["gaussian", "unscaled"]
"""The log-probability of a random step, whole or without its scale: see `sampling.sde.log_prob`."""
Window = Literal["contiguous", "scattered", "sliding"]
"""Which steps of a sampler are random: see the functions of these names in `sampling.window`."""
