"""Scoring beside sampling: overlap, places of the scores, what is missing, what goes wrong."""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.training.toy import ToyGenerator, ToyJudge, write_run
from wmsd_core.rewards.pickscore import PickScores
from wmsd_core.training.batch import Batch
from wmsd_core.training.config import TrainConfig
from wmsd_core.training.groups import GroupSampler
from wmsd_core.training.loop import Trainer
from wmsd_core.training.scoring import Scoring
from wmsd_core.training.stopwatch import Stopwatch
from wmsd_core.vlm import LogOdds, Question

SETTINGS = {"arm": "rl", "tasks_per_step": 3, "group_size": 4, "sampler_steps": 3, "micro_batch": 4}


class Brightness:
    """Scores a video by its level, and remembers which texts came with it."""

    def score(self, texts: Sequence[str], videos: np.ndarray) -> PickScores:
        s = torch.from_numpy(videos.astype(np.float64).mean((2, 3, 4)))
        return PickScores(s.mean(1), s[:, 0])


def batch(folder: Path, config: TrainConfig) -> Batch:
    examples = write_run(folder, config)
    slots = GroupSampler(len(examples), config.tasks_per_step, 0).next()
    return Batch(ToyGenerator(), examples, slots, group_size=config.group_size, seed=0)


def test_scores_land_at_their_rows_and_what_was_not_submitted_stays_nan(tmp_path: Path) -> None:
    config = TrainConfig.model_validate(SETTINGS | {"rewards": {"task": 0, "consistency": 0, "pickscore": 1}})
    step = batch(tmp_path, config)
    x = torch.linspace(-1, 1, 12).view(12, 1, 1, 1).expand(12, 3, 2, 2)
    with Scoring(step, None, Brightness(), config, Stopwatch()) as scoring:
        for rows in (torch.tensor([8, 9, 10, 11]), torch.tensor([0, 1, 2, 3])):
            scoring.submit(rows, x[rows])
        rewards = scoring.result()
    expected = torch.from_numpy(step.generator.decode(x).astype(np.float64).mean((1, 2, 3, 4))).view(3, 4)
    expected[1] = torch.nan
    torch.testing.assert_close(rewards.values["pickscore"], expected, equal_nan=True)
    assert rewards.first_frame == pytest.approx(float(expected.nanmean()))


class Patient(ToyJudge):
    """Does not answer about the first videos until the sampler is at work on later ones."""

    def __init__(self, sampling: threading.Event) -> None:
        self.sampling = sampling

    def log_odds(self, questions: Sequence[Question], media: Sequence[np.ndarray]) -> list[LogOdds]:
        if not self.sampling.wait(20):
            raise TimeoutError("nothing was sampled while this judge was waiting")
        return super().log_odds(questions, media)


class Watched(ToyGenerator):
    """Says when the second micro-batch is being sampled."""

    def __init__(self, sampling: threading.Event) -> None:
        super().__init__()
        self.sampling, self.decoded = sampling, 0

    def decode(self, x_0: Tensor) -> np.ndarray:
        self.decoded += 1
        return super().decode(x_0)

    def velocity(self, x: Tensor, *arguments: Any) -> Tensor:
        if self.decoded:
            self.sampling.set()
        return super().velocity(x, *arguments)


def test_scoring_goes_on_while_the_next_videos_are_sampled(tmp_path: Path) -> None:
    config = TrainConfig.model_validate(SETTINGS | {"adapter": {"rank": 4, "alpha": 8}})
    sampling = threading.Event()
    run = Trainer(config, Watched(sampling), write_run(tmp_path, config), Patient(sampling))
    assert run.step()["unscored"] % 4 == 0


def test_overlap_and_micro_batches_change_no_reward(tmp_path: Path) -> None:
    rows = []
    for overlap, micro_batch in ((1, 12), (3, 4), (2, 5)):
        settings = SETTINGS | {"rewards": {"overlap": overlap}, "micro_batch": micro_batch}
        config = TrainConfig.model_validate(settings | {"adapter": {"rank": 4, "alpha": 8}})
        rows.append(Trainer(config, ToyGenerator(), write_run(tmp_path, config), ToyJudge()).step())
    for row in rows[1:]:
        assert row["reward"] == pytest.approx(rows[0]["reward"]) and row["unread"] == rows[0]["unread"]


class Dead(ToyJudge):
    def log_odds(self, questions: Sequence[Question], media: Sequence[np.ndarray]) -> list[LogOdds]:
        raise ConnectionError("the judge's server is gone")


def test_a_judge_that_dies_ends_the_step_with_its_reason_and_no_step_is_counted(tmp_path: Path) -> None:
    config = TrainConfig.model_validate(SETTINGS | {"adapter": {"rank": 4, "alpha": 8}})
    run = Trainer(config, ToyGenerator(), write_run(tmp_path, config), Dead())
    with pytest.raises(ConnectionError, match="server is gone"):
        run.step()
    assert run.steps_done == 0


def test_pickscore_is_a_reward_with_its_own_floor_and_first_frame_baseline(tmp_path: Path) -> None:
    rewards = {"task": 0, "consistency": 0, "pickscore": 1, "pickscore_floor": 1e-9}
    config = TrainConfig.model_validate(SETTINGS | {"rewards": rewards, "adapter": {"rank": 4, "alpha": 8}})
    with pytest.raises(ValueError, match=r"set train\.rewards\.pickscore to 0"):
        Trainer(config, ToyGenerator(), write_run(tmp_path, config), None)
    row = Trainer(config, ToyGenerator(), write_run(tmp_path, config), None, Brightness()).step()
    assert set(row["reward"]) == {"pickscore"} and row["flat_groups"] == 0 and row["advantage_size"] > 0
    assert row["pickscore_of_first_frame"] != pytest.approx(row["reward"]["pickscore"])
    flat = TrainConfig.model_validate(
        SETTINGS | {"rewards": rewards | {"pickscore_floor": 1e9}, "adapter": {"rank": 4, "alpha": 8}}
    )
    assert Trainer(flat, ToyGenerator(), write_run(tmp_path, flat), None, Brightness()).step()["flat_groups"] == 3


def evenness():
    """A reward from outside: videos whose two halves are alike score 0, dark ones have no score."""

    def reward(texts: Sequence[str], videos: np.ndarray) -> list[float]:
        return [float("nan") if video.mean() < 20 else -float(np.ptp(video.mean((1, 2, 3)))) for video in videos]

    return reward


def test_a_reward_from_outside_needs_no_change_to_the_project(tmp_path: Path) -> None:
    name = f"{__name__}:evenness"
    weights = {"task": 0, "consistency": 0, "extra": {name: 0.5}}
    config = TrainConfig.model_validate(SETTINGS | {"rewards": weights})
    examples = write_run(tmp_path, config)
    trainer = Trainer(config, ToyGenerator(), examples, judge=None)
    metrics = trainer.step()
    assert config.video_rewards == {name: 0.5}
    assert metrics["reward"][name] < 0
    assert metrics["reward_spread"][name] > 0
    with pytest.raises(ValueError, match=r"reward 'no\.such:one' cannot be loaded"):
        unknown = config.model_copy(
            update={"rewards": config.rewards.model_copy(update={"extra": {"no.such:one": 1.0}})}
        )
        Trainer(unknown, ToyGenerator(), examples, judge=None)


def test_the_gate_lets_consistency_count_as_far_as_the_task_was_done(tmp_path: Path) -> None:
    """Through the whole step, on judgments of which either may be the lesser."""
    found: dict[bool, dict[str, Tensor]] = {}
    for gate in (False, True):
        config = TrainConfig.model_validate(SETTINGS | {"rewards": {"gate_consistency": gate}})
        made = batch(tmp_path, config)
        with Scoring(made, ToyJudge(), None, config, Stopwatch()) as scoring:
            for rows in made.rows.split(4):
                scoring.submit(rows, made.noise(rows, "rollout"))
            found[gate] = scoring.result().values
    task, free = found[False]["task"], found[False]["consistency"]
    assert (task < free).any() and found[True]["task"].equal(task)
    torch.testing.assert_close(found[True]["consistency"], torch.minimum(task, free), equal_nan=True)
    assert not torch.allclose(found[True]["consistency"], free, equal_nan=True)


def test_sampling_waits_for_a_slow_judge_rather_than_fill_the_memory_with_videos(tmp_path: Path) -> None:
    """Of twelve videos one at a time is judged and two may wait: the fourth is decoded only when the first is done."""
    config = TrainConfig.model_validate(SETTINGS | {"micro_batch": 1, "rewards": {"overlap": 1}})
    begun, first_is_done = threading.Event(), threading.Event()

    class Slow(ToyJudge):
        def log_odds(self, questions: Sequence[Question], media: Sequence[np.ndarray]) -> list[LogOdds]:
            begun.set()
            first_is_done.wait(20)
            return super().log_odds(questions, media)

    step = batch(tmp_path, config)
    decoded: list[bool] = []
    decode = step.generator.decode

    def watched(x: Tensor) -> np.ndarray:
        decoded.append(first_is_done.is_set())
        if len(decoded) == 3:
            threading.Timer(0.2, first_is_done.set).start()
        return decode(x)

    step.generator.decode = watched  # pyright: ignore[reportAttributeAccessIssue]
    with Scoring(step, Slow(), None, config, Stopwatch()) as scoring:
        for row in range(6):
            scoring.submit(torch.tensor([row]), torch.zeros(1, 3, 2, 2))
        scoring.result()
    assert decoded == [False, False, False, True, True, True]
