"""Every arm and every policy objective: what it attaches, trains and leaves alone, and that it resumes to the same bits."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args

import pytest
import torch

from tests.training.test_loop import trainer, weights, without_times
from wmsd_core.training.arms import LESSONS, TrainingArm
from wmsd_core.training.config import TrainConfig
from wmsd_core.training.loop import Trainer

TRAINED: dict[TrainingArm, set[str]] = {
    "rl": {"policy"},
    "anchor": {"policy"},
    "anchor_reward": {"policy"},
    "full": {"policy"},
    "off_policy": {"policy"},
    "off_policy_rl": {"policy", "demonstrator"},
    "alternating": {"policy", "demonstrator"},
    "ema_demonstrator": {"policy"},
    "dmd": {"policy", "critic"},
    "dmd_rl": {"policy", "critic"},
    "sft": {"policy"},
}
POLICIES: dict[str, dict[str, Any]] = {
    "awm": {"awm": {"times": 2, "updates": 2, "kl_base": 0.1, "kl_ema": 0.1}},
    "awm, continuous": {"awm": {"times": 2, "drawn": "logit_normal"}},
    "grpo": {"reinforcement": "grpo", "grpo": {"size": 1, "updates": 2}},
    "grpo, guarded": {"reinforcement": "grpo", "grpo": {"guard": True, "sde": "dance", "kl_base": 0.1}},
    "grpo, sliding": {"reinforcement": "grpo", "grpo": {"window": "sliding", "size": 1, "interval": 1, "sde": "cps"}},
    "nft": {"reinforcement": "nft", "nft": {"times": 2, "old_rate": 0.2}},
}


def report(run: Trainer) -> str:
    """The metrics of one more step, NaN included, in a form that compares."""
    return json.dumps(without_times(run.step()))


@pytest.mark.parametrize("arm", get_args(TrainingArm))
def test_an_arm_trains_its_adapters_and_no_other_and_resumes_to_the_same_bits(tmp_path: Path, arm: TrainingArm) -> None:
    lengths = {"demonstrator_steps": 1, "executor_steps": 2}
    runs = [trainer(tmp_path, arm=arm, alternating=lengths, ema={"decay": 0.5}) for _ in range(3)]
    straight, first, second = runs
    start = weights(straight)
    rows = [report(straight) for _ in range(4)]
    moved = {
        key.split(".")[0] for key, value in weights(straight).items() if not torch.equal(value, start.get(key, value))
    }
    assert moved == TRAINED[arm] | {"ema"} and set(straight.adapters) == moved
    for _ in range(2):
        first.step()
    second.restore(first.checkpoint())
    assert [report(second) for _ in range(2)] == rows[2:]
    end = weights(second)
    assert all(torch.equal(value, end[key]) for key, value in weights(straight).items())


@pytest.mark.parametrize("name", POLICIES)
def test_a_policy_objective_learns_and_resumes_to_the_same_bits(tmp_path: Path, name: str) -> None:
    straight, first, second = (trainer(tmp_path, **POLICIES[name]) for _ in range(3))
    rows = [report(straight) for _ in range(3)]
    assert all(json.loads(row)["gradient_norm"] > 0 and len(json.loads(row)["policy_by_level"]) == 3 for row in rows)
    first.step()
    second.restore(first.checkpoint())
    assert [report(second) for _ in range(2)] == rows[1:]


def test_the_phases_of_alternating_take_turns(tmp_path: Path) -> None:
    run = trainer(tmp_path, arm="alternating", alternating={"demonstrator_steps": 2, "executor_steps": 1})
    states = [weights(run)]
    for step in range(4):
        row = run.step()
        assert ("gradient_norm" in row) == (step == 2) and ("demonstrator_gradient_norm" in row) == (step != 2)
        states.append(weights(run))
    moved = [
        {name for name in run.adapters for k in old if k.startswith(f"{name}.") and not torch.equal(old[k], new[k])}
        for old, new in pairwise(states)
    ]
    assert moved == [{"demonstrator"}, {"demonstrator"}, {"policy", "ema"}, {"demonstrator"}]


def test_the_old_policy_starts_every_phase_as_the_one_that_learns(tmp_path: Path) -> None:
    lengths = {"demonstrator_steps": 2, "executor_steps": 1}
    slow = {"times": 1, "old_rate": 1.0, "old_limit": 0.75}
    run = trainer(tmp_path, arm="alternating", reinforcement="nft", nft=slow, alternating=lengths)
    run.step()
    names = list(run.adapters["old"])
    before = {name: run.adapters["old"][name].clone() for name in names}
    run.step()
    for name in names:
        torch.testing.assert_close(
            run.adapters["old"][name], 0.75 * before[name] + 0.25 * run.adapters["demonstrator"][name]
        )
    start = {name: run.adapters["policy"][name].clone() for name in names}
    run.step()
    for name in names:
        torch.testing.assert_close(run.adapters["old"][name], 0.75 * start[name] + 0.25 * run.adapters["policy"][name])


def test_every_arm_has_its_lessons_and_asks_for_no_adapter_more() -> None:
    assert set(LESSONS) == set(TRAINED) == set(get_args(TrainingArm))
    assert TrainConfig(arm="rl").adapters == ("policy", "ema")
    assert TrainConfig(arm="rl", reinforcement="nft").adapters == ("policy", "ema", "old")
    assert TrainConfig(arm="anchor", reinforcement="nft").adapters == ("policy", "ema")
