"""The form of a short task, "[Agent]: instruction" (paper 4.1.1), wherever one is read or written."""

import re
from dataclasses import dataclass

_FORM = re.compile(r"\[([^\[\]]+)\]:\s*(\S.*)")
_WORD = re.compile(r"[^\W_]")


@dataclass(frozen=True)
class Parsed:
    """A task taken apart, whitespace normalised."""

    agent: str
    instruction: str

    @property
    def task(self) -> str:
        return f"[{self.agent}]: {self.instruction}"


def parse(task: str) -> Parsed | None:
    """Agent and instruction of a task in the form "[Agent]: instruction"; None if it has another form."""
    found = _FORM.fullmatch(" ".join(task.split()))
    if found is None or not _WORD.search(found[1]) or not _WORD.search(found[2]):
        return None
    return Parsed(found[1].strip(), found[2])
