"""The texts of the miniature, and the words that its generator can read.

    solution   "The red circle moves to column 4, then to row 2."            one or two legs, absolute, counted from 1
    anchored   "The red circle moves to the column of the blue square, then to the top edge."    legs told by landmarks
    task       "[Red circle]: go to the blue square."   "[Red circle]: go to the left edge."
    vague      "The red circle moves somewhere."

Columns run from left to right, rows from top to bottom.
"""

import re
from dataclasses import dataclass

import numpy as np

from wmsd_core.miniature.scene import COLOURS, KINDS, SIDE

AXES = ("column", "row")
EDGES = ("left", "right", "top", "bottom")
EDGE_AXIS = (0, 0, 1, 1)
EDGE_CELL = (0, SIDE - 1, 0, SIDE - 1)
WORDS = ("", *COLOURS, *KINDS, *AXES, *(str(n + 1) for n in range(SIDE)), "go", *EDGES, "edge", "somewhere")
"""The vocabulary; word 0 is padding."""
LENGTH = 8
"""Words of the longest text."""
_INDEX = {word: i for i, word in enumerate(WORDS) if word}
_FILLERS = frozenset(("the", "moves", "to", "then", "of"))
_TASK = re.compile(rf"\[({'|'.join(COLOURS)}) ({'|'.join(KINDS[:2])})\]: go to the (?:({'|'.join(COLOURS)}) square"
                   rf"|({'|'.join(EDGES)}) edge)", re.IGNORECASE)  # fmt: skip


@dataclass(frozen=True)
class Leg:
    """Go along one axis (0 column, 1 row) until this cell, counted from 0."""

    axis: int
    cell: int

    def __str__(self) -> str:
        return f"{AXES[self.axis]} {self.cell + 1}"


@dataclass(frozen=True)
class Task:
    """A short task: an agent ("red circle") and a goal ("blue square" or "left edge")."""

    agent: str
    goal: str

    def __str__(self) -> str:
        return f"[{self.agent.capitalize()}]: go to the {self.goal}."


def solution(agent: str, legs: tuple[str, ...]) -> str:
    """The detailed solution: `legs` are "column 4" or "the column of the blue square"."""
    return f"The {agent} moves to {', then to '.join(legs)}."


def vague(agent: str) -> str:
    """A caption that says who moves and no more."""
    return f"The {agent} moves somewhere."


def find_task(text: str) -> Task | None:
    """The first short task within a longer text, None where there is none."""
    found = _TASK.search(text)
    if found is None:
        return None
    colour, kind, place, edge = (part and part.lower() for part in found.groups())
    return Task(f"{colour} {kind}", f"{place} square" if place else f"{edge} edge")


def tokenize(text: str) -> np.ndarray:
    """int64 [8]: word indices, padded with 0.

    Raises:
        ValueError: a word that is not in the vocabulary, or a text that is too long; the message names it.
    """
    tokens = np.zeros(LENGTH, dtype=np.int64)
    words = [word for word in re.findall(r"[^\s\[\]:;,.]+", text.lower()) if word not in _FILLERS]
    if len(words) > LENGTH:
        raise ValueError(
            f"the miniature reads up to {LENGTH} words besides fillers, and this has {len(words)}: {text!r}"
        )
    for place, word in enumerate(words):
        if word not in _INDEX:
            known = " ".join(WORDS[1:])
            raise ValueError(f"the miniature does not know the word {word!r} in {text!r}; it knows: {known}")
        tokens[place] = _INDEX[word]
    return tokens
