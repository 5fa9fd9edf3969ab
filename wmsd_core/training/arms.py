"""The training arms of the paper (section 4.3, A.3): who acts, who is the Demonstrator, and what is learned from it.

One network plays every part. A role is a text and an adapter: the Executor reads the short task and wears `policy`, the
Demonstrator reads the detailed solution and wears nothing.
"""

from dataclasses import dataclass
from typing import Literal

from wmsd_core.generators.protocol import Adapter

Arm = Literal["full", "rl", "anchor", "off_policy"]
Regression = Literal["anchor", "off_policy"]


@dataclass(frozen=True)
class Role:
    """What the network reads, and which adapter it wears (None: the frozen base)."""

    text: Literal["task", "solution"]
    adapter: Adapter | None


EXECUTOR = Role("task", "policy")
DEMONSTRATOR = Role("solution", None)


@dataclass(frozen=True)
class Lesson:
    """What one step teaches."""

    actor: Role
    """Whose trajectories are sampled, and if `reinforced`, who learns from their rewards."""
    reinforced: bool = False
    regression: Regression | None = None
    """How the Executor is regressed to the Demonstrator on the states of these trajectories."""
    demonstrator: Role = DEMONSTRATOR


LESSONS: dict[Arm, Lesson] = {
    "full": Lesson(EXECUTOR, reinforced=True, regression="anchor"),
    "rl": Lesson(EXECUTOR, reinforced=True),
    "anchor": Lesson(EXECUTOR, regression="anchor"),
    "off_policy": Lesson(DEMONSTRATOR, regression="off_policy"),
}


def lesson(arm: Arm) -> Lesson:
    """What a step of this arm teaches."""
    return LESSONS[arm]
