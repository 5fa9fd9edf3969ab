"""A Demonstrator that is looked at before it is learned from."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.training.test_loop import SETTINGS, first_gradients, trainer, weights, without_times
from tests.training.toy import ToyGenerator, ToyJudge, write_run
from wmsd_core.training.config import TrainConfig
from wmsd_core.training.loop import Trainer
from wmsd_core.vlm import LogOdds, Question

GRADIENTS = {"arm": "anchor", "optimizer": {"max_grad_norm": 1e9}}


class Suspicious(ToyJudge):
    """Passes nothing but clips whose task has one of the `trusted` levels; `how` it says no to the others."""

    def __init__(self, trusted: str, how: str = "task") -> None:
        self.trusted, self.how = trusted, how

    def log_odds(self, questions: Sequence[Question], media: Sequence[np.ndarray]) -> list[LogOdds]:
        return [self._say(question) for question in questions]

    def _say(self, question: Question) -> LogOdds:
        if question.text.split("goal ")[1][0] in self.trusted:
            return LogOdds(2.0)
        if self.how == "unread":
            return LogOdds.unread("it would not say")
        return LogOdds(-2.0 if question.name == f"judge_{self.how}" else 2.0)


def judged_by(folder: Path, judge: ToyJudge, **changes: Any) -> Trainer:
    config = TrainConfig.model_validate(SETTINGS | changes)
    return Trainer(config, ToyGenerator(), write_run(folder, config), judge)


def levels(run: Trainer) -> list[int]:
    """The goals of the first step's tasks."""
    slots = run.groups.next()
    run.groups.cursor = 0
    return [int(run.examples[slot.example].task.split()[1]) for slot in slots]


@pytest.mark.parametrize("how", ["task", "consistency", "unread"])
def test_only_tasks_whose_demonstrator_passes_are_regressed_to_it(tmp_path: Path, how: str) -> None:
    """The gradient is the mean over the samples of the passed task alone, taken from a run that has this task only."""
    chosen = levels(trainer(tmp_path))
    assert len(set(chosen)) == 3
    vetted = judged_by(tmp_path, Suspicious(str(chosen[1]), how), vet_demonstrator=True, **GRADIENTS)
    found = first_gradients(vetted)
    every = [
        first_gradients(judged_by(tmp_path, Suspicious(str(level)), vet_demonstrator=True, **GRADIENTS))
        for level in chosen
    ]
    plain = first_gradients(trainer(tmp_path, **GRADIENTS))
    for name, gradient in found.items():
        assert torch.equal(gradient, every[1][name])
        torch.testing.assert_close(torch.stack([one[name] for one in every]).mean(0), plain[name], rtol=1e-4, atol=1e-7)
    row = judged_by(tmp_path, Suspicious(str(chosen[1]), how), vet_demonstrator=True, **GRADIENTS).step()
    assert row["vetted"] == pytest.approx(1 / 3)
    assert row["forwards"] == 3 * 12 + 3 * 3 + 2 * 2 * 4, (
        "rollouts; a clip per task; states of the passed task, seen by both"
    )


def test_agreement_with_a_demonstrator_that_fails_is_not_rewarded(tmp_path: Path) -> None:
    settings: dict[str, Any] = {
        "arm": "anchor_reward",
        "vet_demonstrator": True,
        "rewards": {"distillation": 1, "distillation_floor": 1e-9},
    }
    chosen = levels(trainer(tmp_path))
    assert judged_by(tmp_path, Suspicious(str(chosen[0])), **settings).step()["flat"]["distillation"] == 2
    assert judged_by(tmp_path, Suspicious("0123"), **settings).step()["flat"]["distillation"] == 0


def test_a_step_in_which_no_demonstrator_passes_teaches_nothing_and_goes_on(tmp_path: Path) -> None:
    run = judged_by(tmp_path, Suspicious("9"), vet_demonstrator=True, **GRADIENTS)
    before = weights(run)
    row = run.step()
    assert row["vetted"] == 0 and row["gradient_norm"] == 0
    assert all(torch.equal(value, before[name]) for name, value in weights(run).items() if name.startswith("policy."))


def test_one_that_always_passes_is_learned_from_as_without_a_look(tmp_path: Path) -> None:
    plain, looked = trainer(tmp_path), judged_by(tmp_path, ToyJudge())
    assert without_times(plain.step()) == without_times(looked.step())
    alike: list[dict[str, Tensor]] = []
    for vet in (False, True):
        run = judged_by(tmp_path, Suspicious("0123"), vet_demonstrator=vet)
        run.step()
        alike.append(weights(run))
    assert all(torch.equal(value, alike[1][name]) for name, value in alike[0].items())


def test_a_vetted_run_resumes_to_the_same_bits(tmp_path: Path) -> None:
    straight, first, second = (judged_by(tmp_path, ToyJudge(), vet_demonstrator=True) for _ in range(3))
    rows = [without_times(straight.step()) for _ in range(4)]
    assert 0 < sum(row["vetted"] for row in rows) < 4
    for _ in range(2):
        first.step()
    second.restore(first.checkpoint())
    assert repr([without_times(second.step()) for _ in range(2)]) == repr(rows[2:])


def test_without_a_judge_it_is_told_and_without_an_anchor_it_is_of_no_account(tmp_path: Path) -> None:
    config = TrainConfig.model_validate(SETTINGS | {"arm": "anchor", "vet_demonstrator": True})
    with pytest.raises(ValueError, match=r"vet_demonstrator needs a judge: name one in models\.judge"):
        Trainer(config, ToyGenerator(), write_run(tmp_path, config), None)
    for arm in ("rl", "off_policy"):
        rows = [trainer(tmp_path, arm=arm, vet_demonstrator=vet).step() for vet in (False, True)]
        assert without_times(rows[0]) == without_times(rows[1])
    assert not TrainConfig(arm="off_policy", vet_demonstrator=True).asks_judge
