"""What only a GPU can show: kernels of its own, resuming on it, memory that does not grow with the rollouts."""

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from tests.training.test_arms import report
from tests.training.test_devices import CASES, trainer
from wmsd_core.training.checkpoint import load_newest, save
from wmsd_core.training.config import TrainConfig
from wmsd_core.training.examples import Example
from wmsd_core.training.loop import Trainer
from wmsd_core.training.process import be_deterministic
from wmsd_core.training.stopwatch import GIB
from yardsticks.ltx2_step import SIZES, TRAIN, RandomLtx2

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")


@pytest.fixture(autouse=True)
def _deterministic() -> Any:
    be_deterministic()
    yield
    be_deterministic(on=False)


@pytest.mark.parametrize("case", CASES)
def test_a_step_on_a_gpu_is_the_step_on_the_cpu(tmp_path: Path, case: str) -> None:
    here, there = (trainer(tmp_path, device, **CASES[case]) for device in ("cpu", "cuda"))
    expected, found = here.step(), there.step()
    for name in ("forwards", "unread", "flat_groups", "gradient_norm", "anchor", "policy"):
        if name in expected:
            assert found[name] == pytest.approx(expected[name], rel=1e-3, abs=1e-5), name


def ltx2(folder: Path, *, group_size: int = 2, **changes: Any) -> Trainer:
    """The real classes, tiny, with random weights."""
    Image.new("RGB", (64, 64)).save(folder / "image.png")
    examples = [Example(pair_id="0", image=folder / "image.png", task="short", solution="a detailed solution")]
    generator = RandomLtx2.make(SIZES["tiny"], folder, **changes)
    config = TrainConfig.model_validate(TRAIN | {"group_size": group_size})
    return Trainer(config, generator, examples, judge=None)


@pytest.mark.parametrize("settings", [{}, {"dtype": "bfloat16"}, {"dtype": "bfloat16", "storage": "float8"}])
def test_ltx2_on_a_gpu_resumes_to_the_same_bits(tmp_path: Path, settings: dict[str, Any]) -> None:
    straight, resumed = (ltx2(tmp_path, **settings) for _ in range(2))
    straight.step()
    save(tmp_path / "checkpoints", straight.checkpoint(), {})
    read, _ = load_newest(tmp_path / "checkpoints", {})
    assert read
    resumed.restore(read)
    assert report(resumed) == report(straight)


def test_memory_does_not_grow_with_the_rollouts(tmp_path: Path) -> None:
    few, many = (ltx2(tmp_path, group_size=size).step()["memory"]["rollout"] for size in (2, 18))
    states = 16 * (9 + 8) * 17 * 128 * 4 / GIB
    assert few <= many < few + 0.2 * states


def test_memory_is_told_by_stage(tmp_path: Path) -> None:
    memory = ltx2(tmp_path).step()["memory"]
    assert {"rollout", "forward", "backward", "optimizer"} <= memory.keys() and min(memory.values()) > 0
