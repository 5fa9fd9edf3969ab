"""Settings of the miniature's planner. Imports no numpy, so that recipes stay quick."""

from pydantic import Field

from wmsd_core.config import Config


class PlannerConfig(Config):
    """How the miniature's planner errs."""

    errors: float = Field(default=0.25, ge=0, le=1)
    """Share of the solutions that it writes which are wrong."""
    by_kind: bool = False
    """Err by kind of task (who moves, circle or triangle, and where to): every solution of that share of the kinds is wrong,
    each kind in its own way, as a model's are that misunderstands a kind of task. Else any solution may be."""
