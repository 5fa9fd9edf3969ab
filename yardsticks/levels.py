"""At which noise level is a way around lost: where it is decided, or later?

    python -m yardsticks.levels workspace/training/RUN/adapter [...]

Fresh boards whose sideways-first way leads through the other mover. The first table lays what the Executor predicts at each
level, on its own way through the levels, on the line from what the frozen base predicts there for the way through to what it
predicts for the way around: 0 is the former, 1 the latter; means, for tasks that lead to a square and to an edge, the lowest
tenth, and the mean squared error of the clean clip. In the second the Demonstrator, who is told right, takes some of the steps:
E.. are the Executor's, D.. the Demonstrator's.
"""

import argparse
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from wmsd_core.arrays import Videos
from wmsd_core.generators.protocol import Condition
from wmsd_core.miniature import planner, verifier
from wmsd_core.miniature.drawing import draw, to_uint8
from wmsd_core.miniature.generator import MiniatureGenerator
from wmsd_core.miniature.language import solution
from wmsd_core.miniature.weights import MiniatureConfig
from wmsd_core.sampling.ode import euler_step
from wmsd_core.training.adapters import load_adapter
from yardsticks.detours import STEPS, drawn, straight


class Boards(NamedTuple):
    """Blocked tasks, in the words of each role."""

    plans: list[planner.Plan]
    short: Condition
    around: Condition
    through: Condition


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("adapters", nargs="+", type=Path, help="folders of Executors' adapters")
    parser.add_argument("--boards", type=int, default=200)
    parser.add_argument("--base", default="base", help="weights of the miniature")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for adapter in arguments.adapters:
        generator = MiniatureGenerator.load(MiniatureConfig(weights=arguments.base).file)
        load_adapter(generator, adapter)
        boards = told(generator, arguments.boards)
        print(
            f"{adapter.parent.name}/{adapter.name}\n\n| sigma | square | edge | lowest tenth | error |\n|---|---|---|---|---|"
        )
        for row in predictions(generator, boards):
            print(row, flush=True)
        print("\n| steps | reaches the goal | consistent |\n|---|---|---|")
        for who in (
            "E" * STEPS,
            "E" * (STEPS - 1) + "D",
            "D" * (STEPS - 1) + "E",
            "D" + "E" * (STEPS - 1),
            "D" * STEPS,
        ):
            scores = verifier.assess(
                verifier.track(mixed(generator, boards, who)), [plan.task for plan in boards.plans]
            )
            print(f"| {who} | {(scores.task > 0).mean():.2f} | {(scores.consistency > 0).mean():.2f} |", flush=True)
        print()


def told(generator: MiniatureGenerator, count: int) -> Boards:
    scenes, plans = drawn(count, seed=7)[0]["blocked"]
    pictures = to_uint8(draw(scenes))
    through = [solution(plan.task.agent, tuple(map(str, straight(plan)))) for plan in plans]
    around = [planner.write(plan, error_rate=0.0, seed=0).text for plan in plans]
    short = [str(plan.task) for plan in plans]
    return Boards(plans, *(generator.encode(pictures, texts) for texts in (short, around, through)))


@torch.no_grad()
def predictions(generator: MiniatureGenerator, boards: Boards) -> Iterator[str]:
    """Rows of the first table."""
    edge = torch.tensor(["edge" in plan.task.goal for plan in boards.plans])
    grid = generator.grid(STEPS).tolist()
    x, active = generator.noise(boards.short, list(range(len(edge)))), generator.active_mask(boards.short)
    for sigma, following in pairwise(grid):
        at = x.new_full((len(x),), sigma)
        own = generator.velocity(x, at, boards.short, "ema")
        around, through = (generator.velocity(x, at, told, None) for told in (boards.around, boards.through))
        place = _along(own - through, around - through)
        error = sigma**2 * (own - around).square().mean()
        cells = (place[~edge].mean(), place[edge].mean(), place.quantile(0.1))
        yield f"| {sigma:.3f} | {' | '.join(f'{float(cell):.2f}' for cell in cells)} | {float(error):.5f} |"
        x = euler_step(x, own, active, sigma=sigma, sigma_next=following)


@torch.no_grad()
def mixed(generator: MiniatureGenerator, boards: Boards, who: str) -> Videos:
    """Videos of which each step is the Executor's or the Demonstrator's."""
    grid = generator.grid(STEPS).tolist()
    x, active = generator.noise(boards.short, list(range(len(boards.plans)))), generator.active_mask(boards.short)
    for role, sigma, following in zip(who, grid[:-1], grid[1:], strict=True):
        condition, adapter = (boards.short, "ema") if role == "E" else (boards.around, None)
        v = generator.velocity(x, x.new_full((len(x),), sigma), condition, adapter)
        x = euler_step(x, v, active, sigma=sigma, sigma_next=following)
    return generator.decode(x)


def _along(own: Tensor, line: Tensor) -> Tensor:
    return (own * line).flatten(1).sum(1) / line.square().flatten(1).sum(1)


if __name__ == "__main__":
    main()
