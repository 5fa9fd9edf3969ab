"""The kinds of agents and tasks (paper figure 3), what each means, and the mixture of them that a data set should have.

A *cell* is an agent type with a task type. Cells are drawn per frame, from the frame's identity alone, and given to the
model as wishes: asking for named kinds varies a data set where asking to "be diverse" does not.
"""

from typing import Literal, NamedTuple, get_args

import numpy as np
from pydantic import Field, field_validator

from wmsd_core.config import Config
from wmsd_core.seeds import derive

AgentType = Literal["first_person", "human", "vehicle", "animal", "creature", "crowd", "object", "other"]
TaskType = Literal[
    "navigation",
    "positioning",
    "object_interaction",
    "perception",
    "combat",
    "vehicle_control",
    "ui",
    "compound",
    "other",
]
AGENT_TYPES: tuple[AgentType, ...] = get_args(AgentType)
TASK_TYPES: tuple[TaskType, ...] = get_args(TaskType)

AGENTS: dict[AgentType, str] = {
    "first_person": "the one through whose eyes the picture is seen",
    "human": "a person or a character of human form",
    "vehicle": "a vehicle, with or without a visible driver",
    "animal": "an animal",
    "creature": "a being that does not exist, or a machine with a body: a monster, a robot",
    "crowd": "several beings that act together",
    "object": "a thing or a landmark",
    "other": "anything else",
}
"""What each agent type means, as a model is told."""

TASKS: dict[TaskType, str] = {
    "navigation": "moving through the scene to some place",
    "positioning": "taking an exact place, direction or posture: aligning, facing, stopping at a line",
    "object_interaction": "handling a thing: picking up, opening, pressing",
    "perception": "inspecting or turning the eyes to something",
    "combat": "fighting, aiming, dodging",
    "vehicle_control": "steering or riding a vehicle",
    "ui": "using a menu or an element on the screen",
    "compound": "two goals, one after the other",
    "other": "anything else",
}
"""What each task type means, as a model is told."""


class Cell(NamedTuple):
    """A kind of pair: who acts, and what sort of thing is done."""

    agent_type: AgentType
    task_type: TaskType

    def __str__(self) -> str:
        return f"agent_type {self.agent_type} with task_type {self.task_type}"


_SENSELESS = frozenset(
    [
        *(Cell(agent, "ui") for agent in ("vehicle", "animal", "creature", "crowd", "object")),
        *(Cell(agent, "vehicle_control") for agent in ("animal", "creature", "crowd", "object")),
        *(Cell("object", task) for task in ("perception", "combat", "object_interaction")),
    ]
)
"""Cells that nobody wishes for: a tree has nothing to inspect and a dog no menu."""


class Mix(Config):
    """Shares of agent and task types; of any scale, since only their proportions count. Types left out have none."""

    agents: dict[AgentType, float] = Field(
        default={
            "first_person": 50.7,
            "human": 39.0,
            "vehicle": 5.2,
            "object": 2.4,
            "creature": 1.9,
            "animal": 0.6,
            "crowd": 0.1,
        }
    )
    """Shares of agent types; the published set's, in per cent (paper 4.1.1)."""
    tasks: dict[TaskType, float] = Field(
        default={
            "positioning": 22.2,
            "navigation": 20.3,
            "object_interaction": 19.0,
            "perception": 14.3,
            "combat": 6.6,
            "compound": 4.6,
            "vehicle_control": 4.1,
            "ui": 3.7,
            "other": 5.1,
        }
    )
    """Shares of task types; the published set's, in per cent (paper 4.1.1)."""

    @field_validator("agents", "tasks")
    @classmethod
    def _proportions(cls, shares: dict[str, float]) -> dict[str, float]:
        if any(share < 0 for share in shares.values()) or not sum(shares.values()) > 0:
            raise ValueError("shares must not be negative, and one of them must be above 0")
        return shares

    def cells(self) -> dict[Cell, float]:
        """The wished share of each cell, of sum 1: agent share times task share, where the two make sense together.

        Raises:
            ValueError: none does.
        """
        products = {
            cell: a * t
            for agent, a in self.agents.items()
            for task, t in self.tasks.items()
            if (cell := Cell(agent, task)) not in _SENSELESS and a * t > 0
        }
        total = sum(products.values())
        if not total:
            raise ValueError("no agent type of this mix makes sense with any of its task types; add one to either")
        return {cell: share / total for cell, share in products.items()}


def wishes(frame_id: str, mix: Mix, count: int, *, seed: int) -> list[Cell]:
    """`count` different cells for a frame (fewer if the mix has fewer), drawn by their shares; the same ones whenever asked."""
    shares = mix.cells()
    cells, chances = list(shares), list(shares.values())
    rng = np.random.default_rng(derive(seed, "wishes", frame_id))
    drawn = rng.choice(len(cells), size=min(count, len(cells)), replace=False, p=chances)
    return [cells[place] for place in drawn]
