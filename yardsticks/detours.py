"""Do groups of rollouts hold any that goes around the other mover? If none does, rewards cannot teach the detour.

    python -m yardsticks.detours --tasks 200 --rollouts 24
    python -m yardsticks.detours --adapter workspace/training/RUN/adapter

Tasks of fresh boards in two strata: `blocked`, where the sideways-first way leads through the other mover, and `free`, where it
does not. Each is told to the miniature short, and by its right solution; every rollout has noise of its own. Printed for each:
the share of rollouts that reach the goal, that stay clear of the other mover, that do both, that fulfil all three criteria; and
of groups of several sizes, the share that hold one that does both, and the share that are mixed: that hold one and lack one.
"""

import argparse
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch

from wmsd_core.generators.protocol import Adapter
from wmsd_core.miniature import planner, verifier
from wmsd_core.miniature.drawing import draw, to_uint8
from wmsd_core.miniature.generator import MiniatureGenerator
from wmsd_core.miniature.language import EDGE_AXIS, EDGES, Leg
from wmsd_core.miniature.scene import Scenes, sample
from wmsd_core.seeds import derive
from wmsd_core.training.adapters import load_adapter

CLEAR = 0.6
"""Cells between the movers' centres from which on one does not touch the other, as the verifier has it."""
GROUPS = (4, 8, 24)
STEPS = 4
BATCH = 240


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=200, help="of each stratum")
    parser.add_argument("--rollouts", type=int, default=24)
    parser.add_argument("--adapter", type=Path, help="an Executor's adapter; without it, the base")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    generator = MiniatureGenerator.load()
    if arguments.adapter:
        load_adapter(generator, arguments.adapter)
    strata, share = drawn(arguments.tasks, arguments.seed)
    print(f"{share:.1%} of all tasks are blocked")
    print(
        "| stratum | told | goal | clear | both | all three | " + " | ".join(f"a group of {n}" for n in GROUPS) + " |"
    )
    print("|---|---|---|---|---|---|" + "---|" * len(GROUPS))
    for stratum, (scenes, plans) in strata.items():
        for telling in ("short", "right solution"):
            texts = [_text(plan, telling) for plan in plans]
            scores, gap = rolled_out(
                generator,
                scenes,
                plans,
                texts,
                arguments.rollouts,
                arguments.seed,
                "ema" if arguments.adapter else None,
            )
            print(f"| {stratum} | {telling} | {told(scores, gap, arguments.rollouts)} |")


def drawn(count: int, seed: int) -> tuple[dict[str, tuple[Scenes, list[planner.Plan]]], float]:
    """So many boards of each stratum, with any task of theirs that is of it; and the share of blocked ones among all tasks."""
    rng = np.random.default_rng(derive(seed, "detours"))
    scenes = sample(rng, 40 * count)
    every = [(row, plan) for row in range(len(scenes)) for plan in planner.plans(scenes, row)]
    found: dict[str, tuple[Scenes, list[planner.Plan]]] = {}
    for name, wanted in (("blocked", True), ("free", False)):
        boards: dict[int, list[planner.Plan]] = defaultdict(list)
        for row, plan in every:
            if blocked(plan) == wanted:
                boards[row].append(plan)
        rows = list(boards)[:count]
        found[name] = scenes.select(np.array(rows)), [boards[row][rng.integers(len(boards[row]))] for row in rows]
    return found, float(np.mean([blocked(plan) for _, plan in every]))


def blocked(plan: planner.Plan) -> bool:
    """Whether the way that goes sideways first, or straight to an edge, leads through the other mover."""
    return plan.other in planner.route(plan.start, straight(plan))


def straight(plan: planner.Plan) -> tuple[Leg, ...]:
    """Sideways, then up or down; or straight to an edge; whatever stands there."""
    edge = plan.task.goal.removesuffix(" edge")
    axes = (EDGE_AXIS[EDGES.index(edge)],) if edge in EDGES else (0, 1)
    return tuple(Leg(axis, plan.goal[axis]) for axis in axes if plan.start[axis] != plan.goal[axis])


@torch.no_grad()
def rolled_out(
    generator: MiniatureGenerator,
    scenes: Scenes,
    plans: list[planner.Plan],
    texts: list[str],
    rollouts: int,
    seed: int,
    adapter: Adapter | None,
) -> tuple[verifier.Scores, np.ndarray]:
    """Scores, and the least distance of the movers in cells, of `rollouts` videos for each plan, plan by plan."""
    rows = np.repeat(np.arange(len(plans)), rollouts)
    pictures = to_uint8(draw(scenes))
    grid, videos = generator.grid(STEPS).tolist(), list[np.ndarray]()
    for start in range(0, len(rows), BATCH):
        part = rows[start : start + BATCH]
        condition = generator.encode(pictures[part], [texts[row] for row in part])
        x = generator.noise(condition, [derive(seed, "detour noise", index=start + n) for n in range(len(part))])
        for now, then in pairwise(grid):
            x = x + (then - now) * generator.velocity(x, torch.full((len(x),), now), condition, adapter)
        videos.append(generator.decode(x))
    tracks = verifier.track(np.concatenate(videos))
    return verifier.assess(tracks, [plans[row].task for row in rows]), distance(tracks.centre)


def distance(centre: np.ndarray) -> np.ndarray:
    """[B]: the least distance between the two movers [B, T, 2, 2], each going straight from frame to frame."""
    inner = np.linspace(0, 1, 9)[:-1, None, None]
    between = [a + inner * (b - a) for a, b in pairwise(np.moveaxis(centre[:, :, 0] - centre[:, :, 1], 1, 0))]
    return np.linalg.norm(np.concatenate(between), axis=-1).min(0)


def told(scores: verifier.Scores, gap: np.ndarray, rollouts: int) -> str:
    """A row of the table."""
    goal, clear = scores.task > 0, gap > CLEAR
    both = goal & clear
    whole = goal & (scores.agent > 0) & (scores.consistency > 0)
    cells = [f"{share.mean():.3f}" for share in (goal, clear, both, whole)]
    for size in GROUPS:
        if rollouts % size == 0:
            held = both.reshape(-1, size)
            cells.append(f"{held.any(1).mean():.3f}, mixed {(held.any(1) & ~held.all(1)).mean():.3f}")
        else:
            cells.append("–")
    return " | ".join(cells)


def _text(plan: planner.Plan, telling: str) -> str:
    return str(plan.task) if telling == "short" else planner.write(plan, error_rate=0.0, seed=0).text


if __name__ == "__main__":
    main()
