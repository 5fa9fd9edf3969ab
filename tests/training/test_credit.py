"""Which differences between rewards count, and what is said where none does."""

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.test_loop import SETTINGS
from tests.training.toy import write_run
from wmsd_core.training.config import TrainConfig
from wmsd_core.training.credit import Credit, Rewards, assign
from wmsd_core.training.distributed import ALONE
from wmsd_core.training.process import train
from wmsd_core.training.scoring import VideoRewards

# Two steps of two groups; within a group of the first, rollouts differ by a tenth of the mean, of the second by a thousandth.
AGREEMENT = -torch.tensor([[0.9, 1.1], [0.999, 1.001]]).expand(2, 2, 2)


def credited(agreement: torch.Tensor, **rewards: Any) -> Credit:
    config = TrainConfig.model_validate(
        {"arm": "anchor_reward", "tasks_per_step": 2, "group_size": 2, "rewards": rewards}
    )
    return assign(Rewards(VideoRewards({}, {}, None, torch.ones(2, dtype=torch.bool)), agreement), config, ALONE)


@pytest.mark.parametrize("scale", [1.0, 1e-6])
def test_a_relative_floor_counts_the_same_differences_whatever_their_size(scale: float) -> None:
    found = credited(AGREEMENT * scale, distillation_floor=0.05, distillation_relative=True)
    assert found.metrics["flat"] == {"distillation": 1}
    pushed, barely = found.advantages.abs().view(2, 2).mean(1).tolist()
    assert barely < pushed / 20
    absolute = credited(AGREEMENT * scale, distillation_floor=0.05)
    assert absolute.metrics["flat"] == {"distillation": 1 if scale == 1 else 2}


def test_a_relative_floor_belongs_to_each_step_where_steps_are_credited() -> None:
    """The second step's disagreement is a hundredth of the first's, and its differences in proportion."""
    steps = torch.stack([AGREEMENT[0], AGREEMENT[0] / 100])
    relative = credited(steps, distillation_floor=0.05, distillation_relative=True, per_step=True).advantages
    torch.testing.assert_close(relative[0], relative[1])
    absolute = credited(steps, distillation_floor=0.05, per_step=True).advantages
    assert absolute[1].abs().max() < absolute[0].abs().max() / 10


def test_a_reward_that_tells_nothing_apart_is_said_once(tmp_path: Path) -> None:
    rewards = {"distillation_floor": 1e6}
    write_run(tmp_path, TrainConfig.model_validate(SETTINGS | {"rewards": rewards, "steps": 3}))
    events: list[dict[str, Any]] = []
    assert train(tmp_path, stop=lambda: False, report=events.append)
    reasons = [event["reason"] for event in events if event["event"] == "warning"]
    assert len(reasons) == 1 and reasons[0].startswith(
        "reward distillation told no two rollouts of a task apart at step 1:"
    )
    assert all(event["flat"]["distillation"] == 3 for event in events if event["event"] == "step")
