"""Does an Executor know at the first noise level, where nothing is drawn yet, which way a task asks for?

    python -m yardsticks.first_level workspace/training/RUN/adapter-00000300 [...]

Fresh boards whose sideways-first way leads through the other mover. For each, what the Executor predicts from pure noise is
laid on the line from what the frozen base predicts for the way through to what it predicts for the way around: 0 is the
former, 1 the latter. Printed: the mean, and the share above one half, for tasks that lead to a square and to an edge; and for
free boards the mean squared distance from the Demonstrator. `-` stands for the base itself.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from wmsd_core.generators.protocol import Adapter
from wmsd_core.miniature import planner
from wmsd_core.miniature.drawing import draw, to_uint8
from wmsd_core.miniature.generator import MiniatureGenerator
from wmsd_core.miniature.language import Leg, solution
from wmsd_core.miniature.scene import Scenes
from wmsd_core.miniature.weights import MiniatureConfig
from wmsd_core.training.adapters import load_adapter
from yardsticks.detours import drawn, straight

Boards = tuple[Scenes, list[planner.Plan]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("adapters", nargs="+", help="folders of Executors' adapters")
    parser.add_argument("--boards", type=int, default=400, help="of each kind")
    parser.add_argument("--base", default="base", help="weights of the miniature")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    strata, _ = drawn(arguments.boards, seed=7)
    print("| adapter | square: mean | above .5 | edge: mean | above .5 | free: distance |")
    print("|---|---|---|---|---|---|")
    for name in arguments.adapters:
        generator = MiniatureGenerator.load(MiniatureConfig(weights=arguments.base).file)
        if name != "-":
            load_adapter(generator, Path(name))
        worn: Adapter | None = None if name == "-" else "ema"
        places = placed(generator, strata["blocked"], worn)
        edge = np.array(["edge" in plan.task.goal for plan in strata["blocked"][1]])
        cells = [f"{part.mean():.2f} | {(part > 0.5).mean():.2f}" for part in (places[~edge], places[edge])]
        print(
            f"| {Path(name).name} | {' | '.join(cells)} | {distance(generator, strata['free'], worn):.5f} |", flush=True
        )


def placed(generator: MiniatureGenerator, boards: Boards, adapter: Adapter | None) -> np.ndarray:
    """Where each prediction lies between the way through (0) and the way around (1)."""
    plans = boards[1]
    own = predicted(generator, boards, [str(plan.task) for plan in plans], adapter)
    around = predicted(generator, boards, [told(plan, plan.legs) for plan in plans], None)
    through = predicted(generator, boards, [told(plan, straight(plan)) for plan in plans], None)
    line = around - through
    return ((own - through) * line).flatten(1).sum(1).div(line.square().flatten(1).sum(1)).numpy()


def distance(generator: MiniatureGenerator, boards: Boards, adapter: Adapter | None) -> float:
    """Mean squared difference from the Demonstrator who is told right."""
    plans = boards[1]
    own = predicted(generator, boards, [str(plan.task) for plan in plans], adapter)
    return float((own - predicted(generator, boards, [told(plan, plan.legs) for plan in plans], None)).square().mean())


@torch.no_grad()
def predicted(generator: MiniatureGenerator, boards: Boards, texts: list[str], adapter: Adapter | None) -> Tensor:
    """Velocities at sigma = 1, each board with noise of its own."""
    condition = generator.encode(to_uint8(draw(boards[0])), texts)
    noise = generator.noise(condition, list(range(len(texts))))
    return generator.velocity(noise, torch.ones(len(texts)), condition, adapter)


def told(plan: planner.Plan, legs: tuple[Leg, ...]) -> str:
    return solution(plan.task.agent, tuple(str(leg) for leg in legs))


if __name__ == "__main__":
    main()
