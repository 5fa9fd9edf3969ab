"""Tasks that are recalled at the first noise level."""

from collections import Counter
from math import inf, nan
from pathlib import Path

import pytest
import torch

from tests.training.test_loop import first_gradients, trainer, weights, without_times
from tests.training.test_vetting import Suspicious, judged_by
from tests.training.toy import ToyJudge
from wmsd_core.objectives.anchor import anchor_loss
from wmsd_core.training.arms import DEMONSTRATOR, EXECUTOR
from wmsd_core.training.batch import Batch
from wmsd_core.training.config import TrainConfig
from wmsd_core.training.distributed import ALONE, World
from wmsd_core.training.encoding import upcoming
from wmsd_core.training.groups import GroupSampler
from wmsd_core.training.recall import Recall

STILL = {"arm": "anchor", "optimizer": {"learning_rate": 1e-12, "max_grad_norm": 1e9}}


def recall_of(examples: int, per_step: int, seed: int = 0, world: World = ALONE) -> Recall:
    return Recall(TrainConfig(recall=per_step, seed=seed), examples, torch.ones(1), world)


def drawn(recall: Recall, steps: int) -> Counter[int]:
    return Counter(slot.example for step in range(steps) for slot in recall.draw(step))


def test_hard_tasks_come_in_proportion_to_the_root_of_their_loss() -> None:
    recall = recall_of(4, 1)
    recall.losses[:] = torch.tensor([1.0, 4, 9, 0])
    often = drawn(recall, 6000)
    assert often[3] == 0
    for example, share in enumerate((1 / 6, 2 / 6, 3 / 6)):
        assert often[example] / 6000 == pytest.approx(share, abs=0.02)


def test_new_tasks_come_as_often_as_the_hardest_and_those_that_did_not_pass_never() -> None:
    recall = recall_of(4, 1)
    recall.losses[:] = torch.tensor([4.0, inf, nan, 1])
    often = drawn(recall, 6000)
    assert often[2] == 0
    for example, share in ((0, 2 / 5), (1, 2 / 5), (3, 1 / 5)):
        assert often[example] / 6000 == pytest.approx(share, abs=0.02)


def test_a_step_draws_different_tasks_with_numbers_of_their_own_and_no_more_than_there_are() -> None:
    recall = recall_of(5, 3)
    one, two = recall.draw(0), recall.draw(1)
    assert [slot.position for slot in (*one, *two)] == list(range(6)) and len({slot.example for slot in one}) == 3
    assert one == recall.draw(0) != recall_of(5, 3, seed=1).draw(0)
    recall.losses[:] = torch.tensor([nan, nan, nan, 1, nan])
    assert [slot.example for slot in recall.draw(0)] == [3]
    recall.losses[:] = nan
    assert recall.draw(0) == []


def test_processes_draw_equal_numbers_of_what_one_draws() -> None:
    alone = recall_of(9, 5).draw(7)
    ranks = [recall_of(9, 5, world=World(rank, 2)).draw(7) for rank in range(2)]
    assert [*ranks[0], *ranks[1]] == alone[:4]


def test_what_is_recalled_adds_the_anchor_at_the_first_level(tmp_path: Path) -> None:
    with_it, without = trainer(tmp_path, **STILL, recall=5, micro_batch=2), trainer(tmp_path, **STILL)
    slots = with_it.recall.draw(0)
    batch = Batch(with_it.generator, with_it.examples, slots, group_size=1, seed=5)
    x, sigma = batch.noise(batch.rows, "recall"), torch.ones(5)
    with torch.no_grad():
        target = batch.velocity(DEMONSTRATOR, x, sigma, batch.rows)
    losses = anchor_loss(batch.velocity(EXECUTOR, x, sigma, batch.rows), target, batch.active(batch.rows))
    expected = torch.autograd.grad(losses.mean(), list(with_it.adapters["policy"].values()))
    whole, plain = first_gradients(with_it), first_gradients(without)
    assert max(float(gradient.abs().max()) for gradient in expected) > 1e-4
    for (name, found), gradient in zip(whole.items(), expected, strict=True):
        torch.testing.assert_close(found - plain[name], gradient, rtol=1e-4, atol=1e-7)
    assert torch.allclose(with_it.recall.losses[[slot.example for slot in slots]], losses.detach().double())


def test_only_what_passes_is_recalled_and_each_is_vetted_once(tmp_path: Path) -> None:
    settings = STILL | {"vet_demonstrator": True, "recall": 7}  # all there are
    run = judged_by(tmp_path, Suspicious("12"), **settings)
    rows = [run.step(), run.step()]
    passes = [run.examples[n].task[-1] in "12" for n in range(7)]
    assert run.recall.losses.isfinite().tolist() == passes
    assert [row["recalled"] for row in rows] == [sum(passes)] * 2
    clips, recalled = 3 * 7, 2 * sum(passes)
    plain = judged_by(tmp_path, Suspicious("12"), **settings | {"recall": 0})
    others = [plain.step()["forwards"], plain.step()["forwards"]]
    assert [row["forwards"] - other for row, other in zip(rows, others, strict=True)] == [clips + recalled, recalled]


def test_a_warm_up_only_recalls_and_the_steps_after_it_are_those_of_a_run_without(tmp_path: Path) -> None:
    """Two steps of no length, then the first with rollouts: same tasks, same rate, same gradient."""
    settings = STILL | {
        "steps": 9,
        "optimizer": {"learning_rate": 1e-12, "max_grad_norm": 1e9, "decay": "linear", "warmup": 2},
    }
    warm, plain = (
        trainer(tmp_path, **settings | {"recall": 5, "warm_up": 2, "steps": 11}),
        trainer(tmp_path, **settings),
    )
    rows = [warm.step(), warm.step()]
    for row in rows:
        assert row["recalled"] == 5 and row["forwards"] == 2 * 5 and not row.keys() & {"anchor", "reward"}
    assert warm.groups.cursor == 0
    assert [row["learning_rate"] for row in rows] == pytest.approx([0.5e-12, 1e-12], abs=0)
    warm.config = warm.config.model_copy(update={"recall": 0})
    found, expected = first_gradients(warm), first_gradients(plain)
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-4, atol=1e-7)
    rates = [run.step()["learning_rate"] for run in (warm, plain) for _ in range(3)]
    assert rates[:3] == pytest.approx(rates[3:], abs=0) and rates[2] < rates[1]


def test_the_old_policy_begins_to_follow_where_the_arm_begins(tmp_path: Path) -> None:
    early = {"recall": 3, "warm_up": 2, "imitation": 1}
    run = trainer(tmp_path, **early, reinforcement="nft", nft={"times": 2, "old_rate": 0.1})
    for _ in range(3):
        run.step()
    before = weights(run)
    run.step()
    after = weights(run)
    for name in run.adapters["policy"]:
        expected = 0.1 * before[f"policy.{name}"] + 0.9 * after[f"policy.{name}"]
        torch.testing.assert_close(after[f"old.{name}"], expected)


def test_imitation_is_the_arm_anchor_with_a_task_for_each_rollout_and_asks_nothing(tmp_path: Path) -> None:
    settings = {key: value for key, value in STILL.items() if key != "arm"}
    early = trainer(tmp_path, **settings, arm="full", imitation=1)
    early.judge = None
    plain = trainer(tmp_path, **STILL | {"tasks_per_step": 12, "group_size": 1})
    found, expected = first_gradients(early), first_gradients(plain)
    assert all(torch.equal(gradient, expected[name]) for name, gradient in found.items())
    assert early.groups.cursor == 12 and early.config.begins_at(1) and not early.config.begins_at(0)
    early.judge = ToyJudge()
    assert "reward" in early.step() and early.groups.cursor == 15


def test_all_that_a_run_may_meet_is_read_ahead() -> None:
    groups = GroupSampler(50, 2, seed=0)
    plain, early = TrainConfig(steps=6, group_size=3), TrainConfig(steps=6, group_size=3, imitation=4)
    assert len(upcoming(groups, plain, 1)) == 5 * 2 and len(upcoming(groups, early, 1)) == 3 * 6 + 2 * 2
    assert upcoming(groups, TrainConfig(steps=6, recall=1), 1) == list(range(50)) and groups.cursor == 0


def test_a_run_resumes_within_its_warm_up(tmp_path: Path) -> None:
    settings = {"recall": 3, "warm_up": 3, "reinforcement": "nft", "nft": {"times": 2}}
    whole, part, resumed = (trainer(tmp_path, **settings) for _ in range(3))
    rows = [without_times(whole.step()) for _ in range(5)]
    for _ in range(2):
        part.step()
    resumed.restore(part.checkpoint())
    assert [without_times(resumed.step()) for _ in range(3)] == rows[2:]
    assert "reward" in rows[3] and "reward" not in rows[2]


def test_a_run_resumes_with_what_it_knows(tmp_path: Path) -> None:
    whole, part, resumed = (
        judged_by(tmp_path, Suspicious("012"), recall=3, vet_demonstrator=True, arm="anchor") for _ in range(3)
    )
    rows = [without_times(whole.step()) for _ in range(5)]
    for _ in range(3):
        part.step()
    resumed.restore(part.checkpoint())
    assert [without_times(resumed.step()) for _ in range(2)] == rows[3:]
    end = weights(whole)
    assert all(torch.equal(value.nan_to_num(), end[name].nan_to_num()) for name, value in weights(resumed).items())


def test_settings_that_cannot_work_are_refused() -> None:
    with pytest.raises(ValueError, match=r"train\.recall is for arms with an anchor"):
        TrainConfig(arm="rl", recall=8)
    with pytest.raises(ValueError, match=r"warm_up has nothing to do without train\.recall"):
        TrainConfig(warm_up=8)
    with pytest.raises(ValueError, match="leave some for the arm"):
        TrainConfig(steps=8, recall=1, warm_up=4, imitation=4)
    with pytest.raises(ValueError, match=r"train\.imitation is for arms with an anchor"):
        TrainConfig(arm="rl", imitation=1)
