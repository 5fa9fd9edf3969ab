from pathlib import Path

import torch
from PIL import Image

from wmsd_core.generators.miniature import MiniatureGenerator
from wmsd_core.miniature import exam
from wmsd_core.miniature.vlm import MiniatureVLM
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


def trainer(folder: Path) -> Trainer:
    paper = exam.write(4, seed=1)
    examples: list[Example] = []
    for i, image in enumerate(paper.images):
        Image.fromarray(image).save(folder / f"{i}.png")
        task, solution = paper.texts["short"][i], paper.texts["planner"][i]
        examples.append(Example(pair_id=str(i), image=folder / f"{i}.png", task=task, solution=solution))
    return Trainer(CONFIG, MiniatureGenerator.load(), examples, MiniatureVLM())


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
