"""A task and its solution, as a model is asked to write them (paper 4.1.1)."""

from pydantic import BaseModel, Field

from wmsd_core.worldtasks.kinds import AgentType, TaskType


class TaskPair(BaseModel):
    """One task for a picture with its solution. The kinds come first: a model that has named them keeps to them.

    What has a default may be missing in pairs from elsewhere (published ones, the miniature's); a server is asked for all.
    """

    agent_type: AgentType | None = Field(default=None, description="The kind of agent that acts.")
    agent_visible: bool = Field(
        default=True, description="Whether the agent can be seen in the picture; true for the first-person view."
    )
    task_type: TaskType | None = Field(default=None, description="The kind of task.")
    task: str = Field(description='The short task in the form "[Agent description]: Task instruction".')
    end_state: str = Field(default="", description="What can be seen once the task is done, and cannot be seen now.")
    solution: str = Field(description="What the agent does from this picture on, step by step, in detail.")


class TaskPairs(BaseModel):
    """The answer for one picture. The refusal is part of the schema, so that nobody is forced to make tasks up."""

    refused: bool = Field(default=False, description="True if the picture allows no task.")
    reason: str = Field(default="", description="Why it allows none; empty otherwise.")
    pairs: list[TaskPair] = Field(default_factory=list[TaskPair], description="The tasks; empty if refused.")
