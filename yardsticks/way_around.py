"""Can the way around be learned at all, and what makes it hard? The anchor alone, on right solutions; or a whole recipe.

    python -m yardsticks.way_around --blocked 0.5 --steps 150
    python -m yardsticks.way_around --blocked 1 --steps 150
    python -m yardsticks.way_around --base around               # other weights, that ship or `wmsd miniature pretrain` wrote
    python -m yardsticks.way_around --recipe --steps 240 --set train.reinforcement=nft --set train.anchor_weight=5

With `--recipe` all settings are those of the demo, with what `--set` changes: its rewards and its planner's errors too.

Fresh boards with a task each, of which the given share is blocked (`yardsticks.detours`). After every so many steps the
averaged weights are tried on boards of both strata that were not trained: shares that reach the goal, that stay clear of the
other mover, that do both, and that are consistent.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from deployments.recipes import named
from wmsd_core import overrides
from wmsd_core.miniature import planner
from wmsd_core.miniature.drawing import draw, to_uint8
from wmsd_core.miniature.generator import MiniatureGenerator
from wmsd_core.miniature.planner_settings import PlannerConfig
from wmsd_core.miniature.scene import Scenes
from wmsd_core.miniature.vlm import MiniatureVLM
from wmsd_core.miniature.weights import MiniatureConfig
from wmsd_core.seeds import derive
from wmsd_core.training.config import TrainConfig
from wmsd_core.training.examples import Example
from wmsd_core.training.loop import Trainer
from yardsticks.detours import CLEAR, drawn, rolled_out

TRIED = 150
"""Boards of each stratum that are kept for trials."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocked", type=float, default=0.5, help="share of the training tasks")
    parser.add_argument("--tasks", type=int, default=2000, help="boards to train on")
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--every", type=int, default=50, help="steps between trials")
    parser.add_argument("--rank", type=int, default=32)
    parser.add_argument("--rate", type=float, default=4e-3)
    parser.add_argument("--base", default="base", help="weights of the miniature")
    parser.add_argument("--states", type=int, default=1, help="states of each trajectory")
    parser.add_argument("--recipe", action="store_true", help="the demo's settings for those of the anchor alone")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="with --recipe")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    strata, _ = drawn(arguments.tasks + TRIED, seed=1)
    recipe = overrides.apply(named("miniature"), [f"train.steps={arguments.steps}", *arguments.set])
    planning = recipe.models.planner if arguments.recipe else PlannerConfig(errors=0.0)
    alone = TrainConfig.model_validate(
        {
            "arm": "anchor",
            "steps": arguments.steps,
            "tasks_per_step": 128,
            "group_size": 1,
            "sampler_steps": 4,
            "anchor_states": arguments.states,
            "adapter": {"rank": arguments.rank, "alpha": arguments.rank},
            "optimizer": {"learning_rate": arguments.rate, "warmup": 5, "decay": "cosine"},
            "ema": {"decay": 0.96},
            "micro_batch": 256,
        }
    )
    print("| step | anchor | stratum | goal | clear | both | consistent |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            recipe.train if arguments.recipe else alone,
            MiniatureGenerator.load(MiniatureConfig(weights=arguments.base).file),
            _examples(strata, arguments, planning, Path(folder)),
            MiniatureVLM(planning) if arguments.recipe else None,
        )
        for step in range(1, arguments.steps + 1):
            anchor = trainer.step()["anchor"]
            if step % arguments.every == 0:
                for name, board in strata.items():
                    print(f"| {step} | {anchor:.4f} | {name} | {_tried(trainer.generator, *board)} |", flush=True)


def _examples(
    strata: dict[str, tuple[Scenes, list[planner.Plan]]],
    arguments: argparse.Namespace,
    planning: PlannerConfig,
    folder: Path,
) -> list[Example]:
    """So many tasks in all, with the planner's solutions; their pictures as files."""
    blocked = round(arguments.blocked * arguments.tasks)
    found: list[Example] = []
    for (name, (scenes, plans)), count in zip(strata.items(), (blocked, arguments.tasks - blocked), strict=True):
        pictures = to_uint8(draw(scenes))
        for row, plan in enumerate(plans[TRIED:][:count], start=TRIED):
            path = folder / f"{name}-{row}.png"
            Image.fromarray(pictures[row]).save(path)
            seed = derive(1, "way around", path.stem)
            solution = planner.write(plan, error_rate=planning.errors, seed=seed).text
            found.append(Example(pair_id=path.stem, image=path, task=str(plan.task), solution=solution))
    return found


def _tried(generator: object, scenes: Scenes, plans: list[planner.Plan]) -> str:
    assert isinstance(generator, MiniatureGenerator)
    plans = plans[:TRIED]
    texts = [str(plan.task) for plan in plans]
    scores, gap = rolled_out(generator, scenes.select(np.arange(len(plans))), plans, texts, 1, 5, "ema")
    goal, clear = scores.task > 0, gap > CLEAR
    return " | ".join(f"{share.mean():.2f}" for share in (goal, clear, goal & clear, scores.consistency > 0))


if __name__ == "__main__":
    main()
