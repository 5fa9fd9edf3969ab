"""Every arm and policy objective on a tiny LTX-2 of the real classes, with the distilled grid."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from PIL import Image

from tests.generators import tiny
from wmsd_core.frames import clips
from wmsd_core.training.arms import TrainingArm
from wmsd_core.training.config import TrainConfig
from wmsd_core.training.examples import Example
from wmsd_core.training.loop import Trainer
from wmsd_core.vlm import LogOdds, Question

CPS = {"reinforcement": "grpo", "grpo": {"sde": "cps", "strength": 0.2, "size": 2}}
SETTINGS: dict[str, dict[str, Any]] = {arm: {"arm": arm} for arm in get_args(TrainingArm)} | {
    "grpo": CPS,
    "nft": {"reinforcement": "nft"},
}


class Brightness:
    """Likes bright videos."""

    name, concurrency = "brightness/1", 1

    def complete(self, *_: Any, **__: Any) -> Any: ...

    def log_odds(self, questions: Sequence[Question], media: Sequence[np.ndarray]) -> list[LogOdds]:
        return [LogOdds(float(video.mean())) for _, video in zip(questions, media, strict=True)]


@pytest.mark.parametrize("name", SETTINGS)
def test_three_steps_train_every_adapter(tmp_path: Path, name: str) -> None:
    Image.fromarray(tiny.image()).save(tmp_path / "image.png")
    video, _ = clips.write(np.stack([tiny.image()] * 9), tmp_path)
    texts = {"task": tiny.SENTENCES[1], "solution": tiny.SENTENCES[0]}
    example = Example(pair_id="a", image=tmp_path / "image.png", video=video, **texts)
    small = {"steps": 3, "tasks_per_step": 1, "group_size": 2, "adapter": {"rank": 2, "alpha": 4}}
    floors = {"judged_floor": 1e-6, "distillation_floor": 1e-12, "batch_floor": 1e-6}
    phases = {"demonstrator_steps": 1, "executor_steps": 1}
    config = TrainConfig.model_validate(
        small | {"rewards": floors, "alternating": phases, "awm": {"times": 1}, "nft": {"times": 1}} | SETTINGS[name]
    )
    run = Trainer(config, tiny.generator("ltx2-2.0", audio="off"), [example], Brightness())
    start = {adapter: [weight.clone() for weight in weights.values()] for adapter, weights in run.adapters.items()}
    for _ in range(3):
        run.step()
    for adapter, weights in run.adapters.items():
        pairs = zip(start[adapter], weights.values(), strict=True)
        assert any(not torch.equal(old, new) for old, new in pairs), adapter
        assert all(bool(weight.isfinite().all()) for weight in weights.values())
