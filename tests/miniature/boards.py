"""Boards and clips that several test files use."""

import numpy as np

from wmsd_core.arrays import Videos
from wmsd_core.miniature import planner, scene
from wmsd_core.miniature.drawing import to_uint8
from wmsd_core.miniature.language import Task
from wmsd_core.miniature.motion import film


def waypoints_of(plan: planner.Plan) -> np.ndarray:
    """[3, 2]: start, corner, end of the plan's route."""
    corner = planner.route(plan.start, plan.legs[:1])[-1]
    return np.array([plan.start, corner, plan.goal], dtype=np.float32)


def solved(count: int, seed: int = 0) -> tuple[scene.Scenes, list[planner.Plan], np.ndarray, np.ndarray, Videos]:
    """Scenes, a plan for each, which object moves [B], its waypoints [B, 3, 2], and the video of the plan."""
    rng = np.random.default_rng(seed)
    scenes = scene.sample(rng, count)
    plans: list[planner.Plan] = []
    for row in range(count):
        offered = planner.plans(scenes, row)
        plans.append(offered[int(rng.integers(len(offered)))])
    mover = np.array([int(scenes.name(row, 1) == plan.task.agent) for row, plan in enumerate(plans)])
    route = np.stack([waypoints_of(plan) for plan in plans])
    return scenes, plans, mover, route, to_uint8(film(scenes, mover, route))


def tasks_of(plans: list[planner.Plan]) -> list[Task]:
    return [plan.task for plan in plans]
