"""What the verifier says of right films and of films spoiled by their order: `python -m tests.miniature.patient`.

Every film solves its task and ends where it should; only the frames between first and last are others.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tests.miniature.boards import solved, tasks_of
from wmsd_core.arrays import Videos
from wmsd_core.miniature import planner, scene, verifier
from wmsd_core.miniature.language import EDGE_AXIS, EDGE_CELL, EDGES, Task

SPOILED: dict[str, tuple[int, ...]] = {
    "frames 1 to 5 reversed": (0, 5, 4, 3, 2, 1, 6),
    "frames 2 to 4 reversed": (0, 1, 4, 3, 2, 5, 6),
    "two neighbours swapped": (0, 1, 3, 2, 4, 5, 6),
    "cut after the first frame": (0, 6, 6, 6, 6, 6, 6),
    "cut in the middle": (0, 0, 0, 0, 6, 6, 6),
    "cut before the last frame": (0, 0, 0, 0, 0, 0, 6),
    "cut on the way": (0, 1, 2, 2, 2, 6, 6),
    "one frame held": (0, 1, 2, 2, 4, 5, 6),
    "every second frame held": (0, 0, 2, 2, 4, 4, 6),
    "held, then twice as fast": (0, 0, 0, 0, 2, 4, 6),
    "there and back, and there": (0, 2, 4, 6, 4, 5, 6),
}
"""What was done to a film of 7 frames, and which frames it shows then."""


@dataclass(frozen=True)
class Seen:
    """Shares of films that pass, and what other tasks of the same boards were said to be done."""

    right: dict[str, float]
    """Criterion -> share of right films."""
    spoiled: dict[str, float]
    """Kind of spoiling -> share that is called consistent."""
    other_tasks: int
    """Tasks of the same boards that the films do not fulfil."""
    false_positives: int


def examine(count: int, *, seed: int) -> Seen:
    """`count` films, one task each."""
    scenes, plans, mover, route, videos = solved(count, seed=seed)
    tasks = tasks_of(plans)
    tracks = verifier.track(videos)
    rows, others = _other_tasks(scenes, plans, mover, route)
    done = verifier.assess(tracks.select(np.array(rows)), others).task > 0
    scores = verifier.assess(tracks, tasks)
    return Seen(
        right={name: _passed(getattr(scores, name)) for name in ("task", "agent", "consistency")},
        spoiled={name: _consistent(videos[:, order], tasks) for name, order in SPOILED.items()},
        other_tasks=len(others),
        false_positives=int(done.sum()),
    )


def _passed(scores: np.ndarray) -> float:
    return float((scores > 0).mean())


def _consistent(videos: Videos, tasks: Sequence[Task]) -> float:
    return _passed(verifier.assess(verifier.track(videos), tasks).consistency)


def _other_tasks(
    scenes: scene.Scenes, plans: list[planner.Plan], mover: np.ndarray, route: np.ndarray
) -> tuple[list[int], list[Task]]:
    """Rows and tasks: every other goal that a board names, for either mover, where neither stands at the end."""
    rows: list[int] = []
    tasks: list[Task] = []
    for row, plan in enumerate(plans):
        ends = scenes.cells[row, :2].astype(float)
        ends[mover[row]] = route[row, -1]
        for thing in (0, 1):
            away = [scenes.name(row, p) for p in (2, 3) if (ends[thing] != scenes.cells[row, p]).any()]
            for edge, axis, cell in zip(EDGES, EDGE_AXIS, EDGE_CELL, strict=True):
                if ends[thing, axis] != cell:
                    away.append(f"{edge} edge")
            named = (Task(scenes.name(row, thing), goal) for goal in away)
            tasks += (others := [task for task in named if task != plan.task])
            rows += [row] * len(others)
    return rows, tasks


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--films", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    seen = examine(asked.films, seed=asked.seed)
    for criterion, share in seen.right.items():
        print(f"right films, {criterion:28s} {share * asked.films:6.0f} of {asked.films}")
    for name, share in seen.spoiled.items():
        print(f"consistent, {name:29s} {100 * share:6.1f} %")
    print(f"other tasks said to be done           {seen.false_positives:6d} of {seen.other_tasks}")
