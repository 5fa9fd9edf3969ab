"""Names of the published variants, for signatures and configurations alike; imports no torch."""

from typing import Literal

Weighting = Literal["uniform", "sigma", "sigma2", "huber", "ghuber"]
"""How the matching error at a noise level becomes a log-likelihood: see `awm.log_likelihood`."""
Ratio = Literal["exp_first", "sum_first"]
"""One likelihood ratio per noise level, or one per sample: see `awm.awm_loss`."""
