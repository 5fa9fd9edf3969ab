"""A task and its solution, as a model is asked to write them (paper 4.1.1)."""

import json
from typing import Annotated, Any

from pydantic import BaseModel, Field, ValidationError, WrapValidator, model_validator
from pydantic_core import PydanticUseDefault

from wmsd_core.vlm.answer import first_fault
from wmsd_core.worldtasks.kinds import AgentType, TaskType


def _or_unnamed(value: object, handler: Any) -> Any:
    """A kind, or None for one that is not among ours: the pair is as good without it, and is sorted later."""
    try:
        return handler(value)
    except ValidationError:
        return None


def _or_default(value: object, handler: Any) -> Any:
    """What need not be there at all is taken as missing where it has another type: it costs the rest nothing."""
    try:
        return handler(value)
    except ValidationError:
        raise PydanticUseDefault from None


_Flag = Annotated[bool, WrapValidator(_or_default)]
_Text = Annotated[str, WrapValidator(_or_default)]
_Agent = Annotated[AgentType | None, WrapValidator(_or_unnamed)]
_Task = Annotated[TaskType | None, WrapValidator(_or_unnamed)]


class TaskPair(BaseModel):
    """One task for a picture with its solution. The kinds come first: a model that has named them keeps to them.

    What has a default may be missing in pairs from elsewhere (published ones, the miniature's); a server is asked for all.
    """

    agent_type: _Agent = Field(default=None, description="The kind of agent that acts.")
    agent_visible: _Flag = Field(
        default=True, description="Whether the agent can be seen in the picture; true for the first-person view."
    )
    task_type: _Task = Field(default=None, description="The kind of task.")
    task: str = Field(description='The short task in the form "[Agent description]: Task instruction".')
    end_state: _Text = Field(default="", description="What can be seen once the task is done, and cannot be seen now.")
    solution: str = Field(description="What the agent does from this picture on, step by step, in detail.")


class Malformed(TaskPair):
    """What stands in a pair's place and is none: as much of it as can be told, and what is wrong with it."""

    fault: str


def _or_malformed(value: object, handler: Any) -> TaskPair:
    """The pair, or what is wrong with it: one that is badly written costs the others nothing."""
    try:
        return handler(value)
    except ValidationError as error:
        told = value if isinstance(value, dict) else {}
        task, solution = (text if isinstance(text := told.get(name), str) else "" for name in ("task", "solution"))
        return Malformed(task=task or json.dumps(value), solution=solution, fault=first_fault(error))


class TaskPairs(BaseModel):
    """The answer for one picture. The refusal is part of the schema, so that nobody is forced to make tasks up."""

    refused: _Flag = Field(default=False, description="True if the picture allows no task.")
    reason: _Text = Field(default="", description="Why it allows none; empty otherwise.")
    pairs: list[Annotated[TaskPair, WrapValidator(_or_malformed)]] = Field(
        default_factory=list[TaskPair], description="The tasks; empty if refused."
    )

    @model_validator(mode="before")
    @classmethod
    def _without_wrapping(cls, given: Any) -> Any:
        """A list alone is that of the pairs; null is nothing."""
        if isinstance(given, list) and any(isinstance(pair, dict) for pair in given):
            return {"pairs": given}
        return {name: value for name, value in given.items() if value is not None} if isinstance(given, dict) else given

    @model_validator(mode="after")
    def _says_something(self) -> "TaskPairs":
        """An answer that neither refuses nor brings pairs is none: it must be asked for again, and not be taken for a picture
        without tasks."""
        if not self.refused and "pairs" not in self.model_fields_set:
            raise ValueError("it has neither pairs nor a refusal")
        if self.pairs and all(isinstance(pair, Malformed) for pair in self.pairs):
            raise ValueError(f"none of its {len(self.pairs)} pairs is one")
        return self
