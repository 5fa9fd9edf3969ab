"""The group sampler, the average, the learning rate, the metrics file and the configuration."""

import json
from pathlib import Path

import pytest
import torch

from wmsd_core.training import metrics
from wmsd_core.training.config import RewardConfig, TrainConfig
from wmsd_core.training.ema import ema_decay, update_ema
from wmsd_core.training.examples import load_examples
from wmsd_core.training.groups import GroupSampler
from wmsd_core.training.schedule import learning_rate


def test_every_epoch_hands_out_every_example_once_in_a_new_order() -> None:
    sampler = GroupSampler(10, 4, seed=3)
    stream = [slot for _ in range(5) for slot in sampler.next()]
    assert [slot.position for slot in stream] == list(range(20))
    first, second = ([slot.example for slot in stream[i : i + 10]] for i in (0, 10))
    assert sorted(first) == sorted(second) == list(range(10)) and first != second


def test_a_sampler_resumes_at_its_cursor() -> None:
    whole, part = GroupSampler(7, 3, seed=1), GroupSampler(7, 3, seed=1)
    expected = [whole.next() for _ in range(6)]
    for _ in range(4):
        part.next()
    resumed = GroupSampler(7, 3, seed=1, cursor=part.cursor)
    assert [resumed.next() for _ in range(2)] == expected[4:]


def test_ranks_share_the_groups_of_a_step_without_overlap() -> None:
    alone = GroupSampler(9, 6, seed=2)
    ranks = [GroupSampler(9, 6, seed=2, rank=rank, world=3) for rank in range(3)]
    for _ in range(4):
        assert alone.next() == [slot for rank in ranks for slot in rank.next()]
    with pytest.raises(ValueError, match="cannot share"):
        GroupSampler(9, 5, seed=0, world=2)


def test_the_average_of_a_constant_has_its_closed_form() -> None:
    """From 0 toward 1: 1 - d^n after n updates."""
    ema, policy = {"w": torch.zeros(3)}, {"w": torch.ones(3)}
    for k in range(50):
        update_ema(ema, policy, decay=ema_decay(k, decay=0.96, schedule="constant"))
    torch.testing.assert_close(ema["w"], torch.full((3,), 1 - 0.96**50))
    assert torch.equal(policy["w"], torch.ones(3))


def test_the_power_schedule_forgets_the_start_quickly_and_ends_at_the_decay() -> None:
    assert [ema_decay(k, decay=0.9, schedule="power") for k in (0, 8, 1000)] == [0.1, 0.5, 0.9]


def test_the_learning_rate_warms_up_and_decays() -> None:
    def rates(decay: str) -> list[float]:
        return [learning_rate(s, steps=6, peak=4.0, warmup=2, decay=decay) for s in range(6)]  # pyright: ignore[reportArgumentType]

    assert rates("constant") == [2, 4, 4, 4, 4, 4]
    assert rates("linear") == pytest.approx([2, 4, 4, 3, 2, 1])
    assert rates("cosine") == pytest.approx([2, 4, 4, 4 * (1 + 0.5**0.5) / 2, 2, 4 * (1 - 0.5**0.5) / 2])


def test_metrics_after_the_checkpoint_and_a_torn_line_are_dropped(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    metrics.truncate(path, 0)
    for step in (1, 2, 3):
        metrics.append(path, {"step": step, "reward": {"task": float("nan")}, "by_level": [1.0, float("inf")]})
    path.write_text(path.read_text() + '{"step": 4, "rew')
    metrics.truncate(path, 2)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2]
    assert rows[0]["reward"] == {"task": None} and rows[0]["by_level"] == [1.0, None]
    metrics.append(path, {"step": 3})
    path.write_text(path.read_text() + '{"st')
    metrics.truncate(path, 3)
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [1, 2, 3]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"group_size": 1}, "set group_size to 2"),
        ({"arm": "rl", "rewards": RewardConfig(task=0, consistency=0)}, "has no reward"),
        ({"rewards": RewardConfig(task=0, gate_consistency=True)}, "needs the task reward"),
        ({"awm": {"levels": [3, 8]}, "sampler_steps": 8}, r"\[8\] are not grid points"),
    ],
)
def test_settings_that_cannot_learn_are_refused_with_what_to_change(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TrainConfig.model_validate(settings)


def test_arms_ask_for_what_they_need() -> None:
    full, rl, anchor = (TrainConfig.model_validate({"arm": arm}) for arm in ("full", "rl", "anchor"))
    assert full.judged == rl.judged == {"task": 0.5, "consistency": 0.45} and not anchor.judged
    agreement = [config.agreement_weight(config.lesson_at(0)) for config in (full, rl, anchor)]
    assert agreement == [0.05, 0, 0]
    assert TrainConfig(arm="off_policy", group_size=1).lesson_at(0).teaching and not rl.lesson_at(0).teaching


def test_a_bad_line_of_examples_is_named(tmp_path: Path) -> None:
    path = tmp_path / "examples.jsonl"
    path.write_text('{"pair_id": "a", "image": "gone.png", "task": "t", "solution": "s"}\n')
    with pytest.raises(ValueError, match=r"line 1: there is no image .*gone\.png"):
        load_examples(path)
    path.write_text('{"pair_id": "a"}\n')
    with pytest.raises(ValueError, match="line 1"):
        load_examples(path)
