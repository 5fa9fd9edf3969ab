"""Invents tasks for a board and writes their solutions, as a VLM does in the full method, with errors at a stated rate.

Routes go sideways first; up or down first only where the other mover is in the way; round it by one step aside where an
edge lies straight behind it. A place that neither order of legs reaches freely is not offered as a goal.

Errors are of the kinds that real solutions have (`ERRORS`), each with its share among errors; a kind that a given plan
cannot have (a single leg cannot be missing) leaves its share to the others.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from wmsd_core.miniature.language import EDGE_AXIS, EDGE_CELL, EDGES, Leg, Task, solution
from wmsd_core.miniature.scene import COLOURS, KINDS, SIDE, SQUARE, Scenes

ERRORS = {
    "last leg off by one": 0.25,
    "leg reversed": 0.15,
    "leg missing": 0.20,
    "wrong agent": 0.20,
    "through the other mover": 0.20,
}
"""Kinds of errors, and the share of each among errors."""

Cell = tuple[int, int]
Legs = tuple[Leg, ...]


@dataclass(frozen=True)
class Plan:
    """A task on one board and the right way to do it."""

    task: Task
    legs: Legs
    start: Cell
    other: Cell
    """Where the other mover stands."""
    other_name: str

    @property
    def goal(self) -> Cell:
        """The cell where the plan ends."""
        return route(self.start, self.legs)[-1]


@dataclass(frozen=True)
class WrittenSolution:
    """A written solution. `error` is the kind of its error, empty where it is right."""

    text: str
    error: str


def route(start: Cell, legs: Legs) -> list[Cell]:
    """All cells from the start to the end of the legs, the start included."""
    cells = [start]
    for leg in legs:
        while cells[-1][leg.axis] != leg.cell:
            step = 1 if leg.cell > cells[-1][leg.axis] else -1
            cells.append(_moved(cells[-1], leg.axis, cells[-1][leg.axis] + step))
    return cells


def plans(scenes: Scenes, row: int) -> list[Plan]:
    """Every task that scene `row` offers: not yet fulfilled, with a free way. Up to 12, for both movers."""
    cells: list[Cell] = [(int(c), int(r)) for c, r in scenes.cells[row]]
    found = []
    for mover in (0, 1):
        start, other = cells[mover], cells[1 - mover]
        goals = [(scenes.name(row, place), _ways_to_cell(start, cells[place])) for place in (2, 3)]
        goals += [
            (f"{edge} edge", _ways_to_edge(start, axis, cell))
            for edge, axis, cell in zip(EDGES, EDGE_AXIS, EDGE_CELL, strict=True)
            if start[axis] != cell
        ]
        for goal, ways in goals:
            free = next((legs for legs in ways if other not in route(start, legs)), None)
            if free:
                task = Task(scenes.name(row, mover), goal)
                found.append(Plan(task, free, start, other, scenes.name(row, 1 - mover)))
    return found


def write(plan: Plan, *, error_rate: float, seed: int, by_kind: bool = False) -> WrittenSolution:
    """The plan's solution in words, wrong with probability `error_rate`; or where errors go `by_kind`, always and in the same
    way for that share of the kinds of task, whatever the seed."""
    if by_kind:
        return _misunderstood(plan, error_rate)
    rng = np.random.default_rng(seed)
    if rng.random() >= error_rate:
        return WrittenSolution(_text(plan.task.agent, plan.legs), "")
    wrong = {kind: text for kind, make in _MAKERS.items() if (text := make(plan, rng))}
    share = np.array([ERRORS[kind] for kind in wrong])
    kind = list(wrong)[int(rng.choice(len(wrong), p=share / share.sum()))]
    return WrittenSolution(wrong[kind], kind)


def kind(task: Task) -> str:
    """What a task is like: who moves, whatever its colour, and where to."""
    return f"{task.agent.split()[1]} to the {task.goal}"


def _misunderstood(plan: Plan, share: float) -> WrittenSolution:
    place = _TASK_KINDS.index(kind(plan.task))
    if place >= round(share * len(_TASK_KINDS)):
        return WrittenSolution(_text(plan.task.agent, plan.legs), "")
    shares = list(ERRORS.values())
    liking = np.random.default_rng(place).choice(list(ERRORS), len(ERRORS), replace=False, p=shares)
    texts = ((str(error), _MAKERS[error](plan, np.random.default_rng(place))) for error in liking)
    return next(WrittenSolution(text, error) for error, text in texts if text)


def _ways_to_cell(start: Cell, goal: Cell) -> list[Legs]:
    """Sideways first, then up or down first; legs of no length are left out."""
    legs = [Leg(axis, goal[axis]) for axis in (0, 1) if start[axis] != goal[axis]]
    return [tuple(legs), tuple(reversed(legs))]


def _ways_to_edge(start: Cell, axis: int, cell: int) -> list[Legs]:
    """Straight, then with one step aside."""
    aside = [Leg(1 - axis, start[1 - axis] + step) for step in (1, -1) if 0 <= start[1 - axis] + step < SIDE]
    return [(Leg(axis, cell),), *((step, Leg(axis, cell)) for step in aside)]


def _moved(cell: Cell, axis: int, to: int) -> Cell:
    return (to, cell[1]) if axis == 0 else (cell[0], to)


def _text(agent: str, legs: Legs) -> str:
    return solution(agent, tuple(str(leg) for leg in legs))


def _replaced(plan: Plan, at: int, cells: list[int]) -> Legs:
    """The legs with leg `at` ending at the first of `cells` that is on the board and not its start; () if none is."""
    leg = plan.legs[at]
    for cell in cells:
        if 0 <= cell < SIDE and cell != plan.start[leg.axis]:
            return (*plan.legs[:at], Leg(leg.axis, cell), *plan.legs[at + 1 :])
    return ()


def _off_by_one(plan: Plan, rng: np.random.Generator) -> str:
    cell, step = plan.legs[-1].cell, int(rng.choice([-1, 1]))
    legs = _replaced(plan, len(plan.legs) - 1, [cell + step, cell - step])
    return _text(plan.task.agent, legs) if legs else ""


def _reversed(plan: Plan, rng: np.random.Generator) -> str:
    at = int(rng.integers(len(plan.legs)))
    start = plan.start[plan.legs[at].axis]
    legs = _replaced(plan, at, [int(np.clip(2 * start - plan.legs[at].cell, 0, SIDE - 1))])
    return _text(plan.task.agent, legs) if legs else ""


def _missing(plan: Plan, rng: np.random.Generator) -> str:
    gone = int(rng.integers(2))
    return _text(plan.task.agent, (plan.legs[1 - gone],)) if len(plan.legs) == 2 else ""


def _wrong_agent(plan: Plan, rng: np.random.Generator) -> str:
    legs = tuple(leg for leg in plan.legs if plan.other[leg.axis] != leg.cell)
    return _text(plan.other_name, legs) if legs else ""


def _through(plan: Plan, rng: np.random.Generator) -> str:
    """The way over (or onto) the other mover that ends nearest to the goal."""
    ends = [(column, row) for column in range(SIDE) for row in range(SIDE) if (column, row) != plan.start]
    ends.sort(key=lambda end: abs(end[0] - plan.goal[0]) + abs(end[1] - plan.goal[1]))
    ways = (legs for end in ends for legs in _ways_to_cell(plan.start, end))
    return _text(plan.task.agent, next(legs for legs in ways if plan.other in route(plan.start, legs)))


_MAKERS: dict[str, Callable[[Plan, np.random.Generator], str]] = {
    "last leg off by one": _off_by_one,
    "leg reversed": _reversed,
    "leg missing": _missing,
    "wrong agent": _wrong_agent,
    "through the other mover": _through,
}
"""Each writes a wrong solution, or nothing where the plan cannot have that error."""

_GOALS = (*(f"{colour} {KINDS[SQUARE]}" for colour in COLOURS), *(f"{edge} edge" for edge in EDGES))
_TASK_KINDS = [f"{who} to the {goal}" for who in KINDS[:SQUARE] for goal in _GOALS]
np.random.default_rng(0).shuffle(_TASK_KINDS)
