"""What the Executor learns besides rewards: one function for each kind of teaching."""

from typing import Any

from wmsd_core.training.distribution_matching import match_distributions
from wmsd_core.training.imitation import imitate
from wmsd_core.training.regression import regress
from wmsd_core.training.turn import Turn

_KINDS = {"anchor": regress, "off_policy": regress, "dmd": match_distributions, "sft": imitate}


def teach(turn: Turn) -> dict[str, Any]:
    """Adds the gradient of the lesson's teaching; returns its metrics."""
    return _KINDS[turn.lesson.teaching](turn) if turn.lesson.teaching else {}
