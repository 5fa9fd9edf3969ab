"""Named settings of the whole pipeline. A recipe is a function that returns every setting; `--set` changes single ones.

Settings are imported inside the functions: they know torch, and `wmsd --help` should answer at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wmsd_core.recipe import Recipe


def miniature() -> Recipe:
    """The whole method on a small procedural world, on two CPU cores in minutes.

    The weights of anchor and policy loss are not the paper's: this network has a twenty-thousandth of LTX-2's parameters,
    and learns the tasks from nothing in 240 steps. `docs/log.md` tells how they were found.
    """
    from wmsd_core.bench.worldtasks import EvaluateConfig
    from wmsd_core.miniature.pictures import RenderConfig
    from wmsd_core.recipe import Recipe
    from wmsd_core.training.config import (
        AdapterConfig,
        AwmConfig,
        EmaConfig,
        OptimizerConfig,
        RewardConfig,
        TrainConfig,
    )
    from wmsd_core.worldtasks import GenerateConfig

    return Recipe(
        render=RenderConfig(n=1000),
        # The planner's errors, wrong agents among them, are what the method has to bear.
        generate=GenerateConfig(tolerate=("other_agent",)),
        train=TrainConfig(
            steps=240,
            tasks_per_step=32,
            group_size=4,
            sampler_steps=4,
            anchor_weight=1.0,
            rl_weight=0.8,
            rewards=RewardConfig(gate_consistency=True),
            awm=AwmConfig(times=1),
            adapter=AdapterConfig(rank=32, alpha=32),
            ema=EmaConfig(decay=0.96, schedule="power"),
            optimizer=OptimizerConfig(learning_rate=4e-3, warmup=5, decay="cosine"),
            micro_batch=256,
        ),
        evaluate=EvaluateConfig(tasks=400, steps=4, batch=100),
    )


def worldtasks() -> Recipe:
    """A dataset from your own images and videos, written by a model server (vLLM), as the paper's WorldTasks was.

    Eight pairs a frame and a benchmark of 200 are the paper's (4.1.1, 4.1.2). Three kinds of task are wished for in each
    request, and the model that sees the picture is asked twice about each pair: without either, most tasks are walks.
    """
    from wmsd_core.models import ModelsConfig
    from wmsd_core.recipe import Recipe
    from wmsd_core.worldtasks import GenerateConfig, SelectConfig, SplitConfig

    return Recipe(
        models=ModelsConfig(writer="vllm", judge="vllm"),
        generate=GenerateConfig(wishes=3),
        select=SelectConfig(min_agent_log_odds=0.0, min_open_log_odds=0.0),
        split=SplitConfig(bench_pairs=200),
    )


RECIPES: dict[str, Callable[[], Recipe]] = {"miniature": miniature, "worldtasks": worldtasks}


def named(name: str) -> Recipe:
    """The recipe called `name`.

    Raises:
        ValueError: there is none; the message lists those that exist.
    """
    if name not in RECIPES:
        raise ValueError(f"there is no recipe '{name}'; choose from: {', '.join(RECIPES)}")
    return RECIPES[name]()
