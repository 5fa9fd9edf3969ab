"""A task and its solution, and what makes a pair usable (paper 4.1.1: unambiguous, general, "[Agent]: Task").

The checks are deliberately literal: they find broken form, missing or copied text and repetition. Whether the agent is
in the picture and the task feasible is a matter for a judge that sees it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from pydantic import BaseModel, Field

_FORM = re.compile(r"\[([^\[\]]+)\]:\s*(\S.*)")


class TaskPair(BaseModel):
    """One task for a picture with its solution, as the model is asked to write them."""

    task: str = Field(description='The short task in the form "[Agent description]: Task instruction".')
    solution: str = Field(description="What the agent does from this picture on, step by step, in detail.")


class TaskPairs(BaseModel):
    """The answer for one picture. The refusal is part of the schema, so that nobody is forced to make tasks up."""

    refused: bool = Field(default=False, description="True if the picture allows no task.")
    reason: str = Field(default="", description="Why it allows none; empty otherwise.")
    pairs: list[TaskPair] = Field(default_factory=list[TaskPair], description="The tasks; empty if refused.")


@dataclass(frozen=True)
class Parsed:
    """A task taken apart, whitespace normalised."""

    agent: str
    instruction: str

    @property
    def task(self) -> str:
        return f"[{self.agent}]: {self.instruction}"


def parse(task: str) -> Parsed | None:
    """Agent and instruction of a task in the form "[Agent]: Task"; None if it has another form."""
    found = _FORM.fullmatch(" ".join(task.split()))
    if found is None or not words(found[1]) or not words(found[2]):
        return None
    return Parsed(found[1].strip(), found[2])


def words(text: str) -> list[str]:
    """The words of a text, case folded, without punctuation."""
    return re.findall(r"[^\W_]+(?:['’-][^\W_]+)*", text.casefold())


@dataclass(frozen=True)
class Limits:
    """Longest texts, in words, and how many pairs were asked for."""

    count: int
    task_words: int
    solution_words: int


@dataclass(frozen=True)
class Accepted:
    """A usable pair and its place in the answer."""

    position: int
    parsed: Parsed
    solution: str


@dataclass(frozen=True)
class Rejected:
    """A pair that cannot be used, its place in the answer, and why: a short code and a sentence."""

    position: int
    task: str
    reason: str
    detail: str


def sift(pairs: Sequence[TaskPair], limits: Limits) -> tuple[list[Accepted], list[Rejected]]:
    """Divides the pairs written for one picture into usable ones and others."""
    accepted: list[Accepted] = []
    rejected: list[Rejected] = []
    for position, pair in enumerate(pairs):
        parsed = parse(pair.task)
        if parsed is None:
            form = 'the task is not of the form "[Agent description]: Task instruction"'
            rejected.append(Rejected(position, pair.task, "form", form))
        elif wrong := _fault(parsed, pair.solution, accepted, limits):
            rejected.append(Rejected(position, pair.task, *wrong))
        else:
            accepted.append(Accepted(position, parsed, " ".join(pair.solution.split())))
    return accepted, rejected


def _fault(parsed: Parsed, text: str, before: Sequence[Accepted], limits: Limits) -> tuple[str, str] | None:
    instruction, solution = words(parsed.instruction), words(text)
    if len(before) == limits.count:
        return "surplus", f"{limits.count} pairs were asked for"
    if not solution:
        return "empty_solution", "the solution has no words"
    if len(instruction) > limits.task_words:
        return "task_too_long", f"the instruction has {len(instruction)} words, the limit is {limits.task_words}"
    if len(solution) > limits.solution_words:
        return "solution_too_long", f"the solution has {len(solution)} words, the limit is {limits.solution_words}"
    shared = SequenceMatcher(None, solution, instruction, autojunk=False).find_longest_match().size
    if 2 * shared >= len(solution):
        # Naming the goal in both is right, so only a task that repeats half of the solution word for word is at fault.
        return "gives_steps_away", f"{shared} of the solution's {len(solution)} words stand in the task in this order"
    if len(solution) <= len(instruction):
        return "not_detailed", f"the solution has {len(solution)} words, the instruction {len(instruction)}"
    if words(parsed.task) in [words(accepted.parsed.task) for accepted in before]:
        return "repeated", "the picture already has this task"
    return None
