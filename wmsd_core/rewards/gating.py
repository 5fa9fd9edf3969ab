"""The gate on the consistency reward."""

import torch

from wmsd_core.shapes import PerSample


def gated(consistency: PerSample, task: PerSample) -> PerSample:
    """min(consistency, task): the log-odds of "consistent and done", by its weaker half. NaN if either is.

    Not in the paper, and optional. A still picture is perfectly consistent, so that an ungated consistency reward pays
    for doing nothing; gated, consistency pays only as far as the task was done.
    """
    return torch.minimum(consistency, task)
