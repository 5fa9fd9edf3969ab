"""An exam for the miniature's generator: held-out boards, one task each, told in one of three ways.

    clean     the right detailed solution
    planner   the planner's solution, wrong at its stated rate
    short     the short task itself

A video is sampled by Euler steps on the generator's own grid and judged by the verifier.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
import torch

from wmsd_core.arrays import Images
from wmsd_core.generators.protocol import Adapter, Generator
from wmsd_core.miniature import planner, verifier
from wmsd_core.miniature.drawing import draw, to_uint8
from wmsd_core.miniature.language import Task
from wmsd_core.miniature.planner_settings import PlannerConfig
from wmsd_core.miniature.scene import Scenes, sample
from wmsd_core.seeds import derive

Telling = Literal["clean", "planner", "short"]
_BATCH = 256


@dataclass(frozen=True)
class Exam:
    """Task i on picture i [20, 20, 3], and how each telling puts it into words."""

    images: Images
    tasks: tuple[Task, ...]
    texts: dict[Telling, tuple[str, ...]]
    seed: int

    def __len__(self) -> int:
        return len(self.tasks)


def write(count: int, *, seed: int, error_rate: float = PlannerConfig().errors) -> Exam:
    """An exam of `count` tasks on as many boards."""
    rng = np.random.default_rng(derive(seed, "exam"))
    scenes = sample(rng, count)
    plans = [_choose(scenes, row, rng) for row in range(count)]
    written = [
        planner.write(plan, error_rate=error_rate, seed=derive(seed, "exam solution", index=row))
        for row, plan in enumerate(plans)
    ]
    right = [planner.write(plan, error_rate=0.0, seed=0) for plan in plans]
    texts: dict[Telling, tuple[str, ...]] = {
        "clean": tuple(solution.text for solution in right),
        "planner": tuple(solution.text for solution in written),
        "short": tuple(str(plan.task) for plan in plans),
    }
    return Exam(to_uint8(draw(scenes)), tuple(plan.task for plan in plans), texts, seed)


@torch.no_grad()
def sit(generator: Generator, exam: Exam, telling: Telling, *, steps: int, adapter: Adapter | None) -> verifier.Scores:
    """Generates a video for each task by Euler steps, and has it judged."""
    grid = generator.grid(steps).tolist()
    videos = []
    for start in range(0, len(exam), _BATCH):
        rows = slice(start, start + _BATCH)
        condition = generator.encode(exam.images[rows], exam.texts[telling][rows])
        seeds = [derive(exam.seed, "exam noise", index=start + i) for i in range(len(condition))]
        x = generator.noise(condition, seeds)
        for now, then in pairwise(grid):
            x = x + (then - now) * generator.velocity(x, torch.full((len(x),), now), condition, adapter)
        videos.append(generator.decode(x))
    return verifier.assess(verifier.track(np.concatenate(videos)), exam.tasks)


def shares(scores: verifier.Scores) -> dict[str, float]:
    """Share of videos that pass each criterion, and all three."""
    passed = {name: getattr(scores, name) > 0 for name in ("task", "agent", "consistency")}
    passed["all"] = passed["task"] & passed["agent"] & passed["consistency"]
    return {name: float(verdict.mean()) for name, verdict in passed.items()}


def _choose(scenes: Scenes, row: int, rng: np.random.Generator) -> planner.Plan:
    plans = planner.plans(scenes, row)
    return plans[int(rng.integers(len(plans)))]
