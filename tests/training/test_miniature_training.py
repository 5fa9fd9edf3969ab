from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from PIL import Image

from wmsd_core.frames import clips
from wmsd_core.miniature import exam
from wmsd_core.miniature.generator import MiniatureGenerator
from wmsd_core.miniature.motion import FRAMES
from wmsd_core.miniature.vlm import MiniatureVLM
from wmsd_core.training.arms import TrainingArm
from wmsd_core.training.config import TrainConfig
from wmsd_core.training.examples import Example
from wmsd_core.training.loop import Trainer

CONFIG = TrainConfig.model_validate(
    {
        "steps": 3,
        "tasks_per_step": 2,
        "group_size": 3,
        "sampler_steps": 2,
        "awm": {"times": 1},
        "adapter": {"rank": 4, "alpha": 8},
        "micro_batch": 8,
    }
)


def trainer(folder: Path, **changes: object) -> Trainer:
    paper = exam.write(4, seed=1)
    examples: list[Example] = []
    for i, image in enumerate(paper.images):
        Image.fromarray(image).save(folder / f"{i}.png")
        task, solution = paper.texts["short"][i], paper.texts["planner"][i]
        video, _ = clips.write(np.stack([image] * FRAMES), folder)
        examples.append(Example(pair_id=str(i), image=folder / f"{i}.png", task=task, solution=solution, video=video))
    config = TrainConfig.model_validate(CONFIG.model_dump() | changes)
    return Trainer(config, MiniatureGenerator.load(), examples, MiniatureVLM())


def test_the_full_method_runs_on_the_miniature_and_resumes_to_the_same_bits(tmp_path: Path) -> None:
    straight, first, second = (trainer(tmp_path) for _ in range(3))
    rows = [straight.step() for _ in range(3)]
    assert all(row["unscored"] == 0 and row["gradient_norm"] > 0 for row in rows)
    first.step()
    second.restore(first.checkpoint())
    for _ in range(2):
        second.step()
    end = second.checkpoint().tensors
    assert all(torch.equal(value, end[key]) for key, value in straight.checkpoint().tensors.items())


@pytest.mark.parametrize(
    "settings",
    [
        *({"arm": arm} for arm in get_args(TrainingArm) if arm != "full"),
        {"reinforcement": "grpo"},
        {"reinforcement": "nft"},
    ],
    ids=lambda settings: "-".join(settings.values()),
)
def test_every_arm_and_policy_runs_on_the_miniature(tmp_path: Path, settings: dict[str, str]) -> None:
    phases = {"alternating": {"demonstrator_steps": 1, "executor_steps": 1}}
    run = trainer(tmp_path, **phases, **settings)
    start = {name: [weight.clone() for weight in weights.values()] for name, weights in run.adapters.items()}
    rows = [run.step() for _ in range(3)]
    assert all(row["seconds"] and row["forwards"] for row in rows)
    for name, weights in run.adapters.items():
        assert any(not torch.equal(old, new) for old, new in zip(start[name], weights.values(), strict=True)), name
