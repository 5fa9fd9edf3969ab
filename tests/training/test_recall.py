"""Tasks that are recalled: at one noise level each, hard ones more often."""

from collections import Counter
from math import inf, nan
from pathlib import Path

import pytest
import torch

from tests.training.test_loop import first_gradients, trainer, weights, without_times
from tests.training.test_vetting import Suspicious, judged_by
from wmsd_core.objectives.anchor import anchor_loss
from wmsd_core.training.arms import DEMONSTRATOR, EXECUTOR
from wmsd_core.training.batch import Batch
from wmsd_core.training.config import RecallConfig, TrainConfig
from wmsd_core.training.distributed import ALONE, World
from wmsd_core.training.encoding import upcoming
from wmsd_core.training.groups import GroupSampler, Slot
from wmsd_core.training.recall import Recall

STILL = {"arm": "anchor", "optimizer": {"learning_rate": 1e-12, "max_grad_norm": 1e9}}


def recall_of(
    examples: int, tasks: int, *, levels: int = 1, seed: int = 0, priority: float = 1.0, world: World = ALONE
) -> Recall:
    config = TrainConfig(recall=RecallConfig(tasks=tasks, priority=priority), seed=seed)
    return Recall(config, examples, torch.linspace(1, 0, levels + 1), world)


def drawn(recall: Recall, steps: int) -> Counter[int]:
    return Counter(slot.example for step in range(steps) for slot in recall.draw(step))


@pytest.mark.parametrize(
    ("priority", "shares"), [(0.0, (1, 1, 1, 1)), (0.5, (1, 2, 3, 0)), (1.0, (1, 4, 9, 0)), (2.0, (1, 16, 81, 0))]
)
def test_hard_tasks_come_in_proportion_to_a_power_of_their_loss(priority: float, shares: tuple[int, ...]) -> None:
    recall = recall_of(5, 1, priority=priority)
    recall.losses[:] = torch.tensor([1.0, 4, 9, 0, nan])
    often = drawn(recall, 6000)
    for example, share in enumerate((*shares, 0)):
        assert often[example] / 6000 == pytest.approx(share / sum(shares), abs=0.02)


def test_the_priority_rises_over_the_warm_up() -> None:
    recall = Recall(TrainConfig(recall=RecallConfig(tasks=1, priority=2, warm_up=80)), 2, torch.ones(2), ALONE)
    recall.losses[:] = torch.tensor([1.0, 9])
    for step, share in ((0, 1 / 2), (20, 3 / 4), (40, 9 / 10), (80, 81 / 82), (99, 81 / 82)):
        weights = recall._weights(step)  # pyright: ignore[reportPrivateUsage]
        assert float(weights[1] / weights.sum()) == pytest.approx(share)


def test_new_tasks_come_as_often_as_the_average_one_and_those_that_did_not_pass_never() -> None:
    recall = recall_of(5, 1)
    assert sorted(slot.example for slot in recall_of(5, 5).draw(0)) == list(range(5))
    recall.losses[:] = torch.tensor([5.0, inf, nan, 1, inf])
    often = drawn(recall, 6000)
    assert often[2] == 0
    for example, share in ((0, 5 / 12), (1, 3 / 12), (3, 1 / 12), (4, 3 / 12)):
        assert often[example] / 6000 == pytest.approx(share, abs=0.02)


def test_each_level_has_different_tasks_with_numbers_of_their_own_and_no_more_than_there_are() -> None:
    recall = recall_of(5, 3, levels=2)
    one, two = recall.draw(0), recall.draw(1)
    assert [slot.position for slot in (*one, *two)] == list(range(12))
    assert all(len({slot.example for slot in level}) == 3 for level in (one[:3], one[3:], two[:3], two[3:]))
    assert one == recall.draw(0) != recall_of(5, 3, levels=2, seed=1).draw(0)
    recall.losses[:] = torch.tensor([nan, nan, nan, 1, nan])
    assert recall.draw(0) == [Slot(0, 3), Slot(3, 3)]
    recall.losses[:] = nan
    assert recall.draw(0) == []


def test_processes_share_each_level_of_what_one_draws() -> None:
    alone = recall_of(9, 5, levels=2).draw(7)
    ranks = [recall_of(9, 5, levels=2, world=World(rank, 2)) for rank in range(2)]
    drawn = [rank.draw(7) for rank in ranks]
    assert drawn[0] == drawn[1] and {slot.position for slot in alone} - {slot.position for slot in drawn[0]} == {74, 79}
    shares = [rank.share(each) for rank, each in zip(ranks, drawn, strict=True)]
    assert [slot.position for slot in shares[0]] == [70, 71, 75, 76]
    assert sorted(shares[0] + shares[1]) == sorted(drawn[0])


def test_what_is_recalled_adds_the_anchor_on_states_of_the_executor_at_every_level(tmp_path: Path) -> None:
    changes = STILL | {"recall": {"tasks": 4}, "micro_batch": 3}
    with_it, without = trainer(tmp_path, **changes), trainer(tmp_path, **STILL)
    slots = with_it.recall.draw(0)
    batch = Batch(with_it.generator, with_it.examples, slots, group_size=1, seed=5)
    x, grid = batch.noise(batch.rows, "recall"), with_it.grid
    active, losses = batch.active(batch.rows), list[torch.Tensor]()
    for level, rows in enumerate(batch.rows.split(4)):
        state = x[rows]
        for k in range(level):
            with torch.no_grad():
                v = batch.velocity(EXECUTOR, state, grid[k].expand(4).float(), rows)
            state = torch.where(active[rows], state + (grid[k + 1] - grid[k]).float() * v, state)
        sigma = grid[level].expand(4).float()
        with torch.no_grad():
            target = batch.velocity(DEMONSTRATOR, state, sigma, rows)
        losses.append(anchor_loss(batch.velocity(EXECUTOR, state, sigma, rows), target, active[rows]))
    expected = torch.autograd.grad(torch.cat(losses).mean(), list(with_it.adapters["policy"].values()))
    whole, plain = first_gradients(with_it), first_gradients(without)
    assert max(float(gradient.abs().max()) for gradient in expected) > 1e-4
    for (name, found), gradient in zip(whole.items(), expected, strict=True):
        torch.testing.assert_close(found - plain[name], gradient, rtol=1e-4, atol=1e-7)
    known = torch.full((7,), inf, dtype=torch.float64)
    for level, loss in enumerate(losses):  # of a task that came twice, the later
        for slot, value in zip(slots[4 * level :][:4], loss.tolist(), strict=True):
            known[slot.example] = float(grid[level]) ** 2 * value
    assert torch.allclose(with_it.recall.losses, known)


def test_only_what_passes_is_recalled_and_each_is_vetted_once(tmp_path: Path) -> None:
    settings = STILL | {"vet_demonstrator": True, "recall": {"tasks": 7}}  # all there are, at each of three levels
    run = judged_by(tmp_path, Suspicious("12"), **settings)
    rows = [run.step(), run.step()]
    passes = [run.examples[n].task[-1] in "12" for n in range(7)]
    assert run.recall.losses.isfinite().tolist() == passes and 0 < sum(passes) < 7
    assert [row["recalled"] for row in rows] == [3 * sum(passes)] * 2
    clips, recalled = 3 * 7, (2 + 3 + 4) * sum(passes)
    plain = judged_by(tmp_path, Suspicious("12"), **settings | {"recall": {}})
    others = [plain.step()["forwards"], plain.step()["forwards"]]
    assert [row["forwards"] - other for row, other in zip(rows, others, strict=True)] == [clips + recalled, recalled]


def test_a_warm_up_only_recalls_and_the_steps_after_it_are_those_of_a_run_without(tmp_path: Path) -> None:
    """Two steps of no length, then the first with rollouts: same tasks, same gradient."""
    warm, plain = trainer(tmp_path, **STILL, recall={"tasks": 5, "warm_up": 2}), trainer(tmp_path, **STILL)
    rows = [warm.step(), warm.step()]
    for row in rows:
        assert row["recalled"] == 15 and row["forwards"] == 5 * (2 + 3 + 4) and not row.keys() & {"anchor", "reward"}
        assert row["speed"]["cpu_seconds"] > 0
    assert warm.groups.cursor == 0
    warm.config = warm.config.model_copy(update={"recall": RecallConfig(warm_up=2)})
    found, expected = first_gradients(warm), first_gradients(plain)
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-4, atol=1e-7)


def test_the_old_policy_begins_to_follow_where_the_arm_begins(tmp_path: Path) -> None:
    run = trainer(tmp_path, recall={"tasks": 3, "warm_up": 3}, reinforcement="nft", nft={"times": 2, "old_rate": 0.1})
    for _ in range(3):
        run.step()
    before = weights(run)
    run.step()
    after = weights(run)
    for name in run.adapters["policy"]:
        expected = 0.1 * before[f"policy.{name}"] + 0.9 * after[f"policy.{name}"]
        torch.testing.assert_close(after[f"old.{name}"], expected)


def test_all_that_a_run_may_meet_is_read_ahead() -> None:
    groups = GroupSampler(50, 2, seed=0)
    recalling = TrainConfig(steps=6, recall=RecallConfig(tasks=1))
    for plain in (TrainConfig(steps=6), recalling.model_copy(update={"arm": "rl"})):
        assert len(upcoming(groups, plain, 1)) == 5 * 2
    assert upcoming(groups, recalling, 1) == list(range(50)) and groups.cursor == 0


def test_a_run_resumes_within_its_warm_up(tmp_path: Path) -> None:
    settings = {"recall": {"tasks": 3, "warm_up": 3}, "reinforcement": "nft", "nft": {"times": 2}}
    whole, part, resumed = (trainer(tmp_path, **settings) for _ in range(3))
    rows = [without_times(whole.step()) for _ in range(5)]
    for _ in range(2):
        part.step()
    resumed.restore(part.checkpoint())
    assert [without_times(resumed.step()) for _ in range(3)] == rows[2:]
    assert "reward" in rows[3] and "reward" not in rows[2]


def test_a_run_resumes_with_what_it_knows(tmp_path: Path) -> None:
    whole, part, resumed = (
        judged_by(tmp_path, Suspicious("012"), recall={"tasks": 3}, vet_demonstrator=True, arm="anchor")
        for _ in range(3)
    )
    rows = [without_times(whole.step()) for _ in range(5)]
    for _ in range(3):
        part.step()
    resumed.restore(part.checkpoint())
    assert [without_times(resumed.step()) for _ in range(2)] == rows[3:]
    end = weights(whole)
    assert all(torch.equal(value.nan_to_num(), end[name].nan_to_num()) for name, value in weights(resumed).items())


def test_an_arm_without_an_anchor_recalls_nothing_and_begins_at_once(tmp_path: Path) -> None:
    settings = {"arm": "rl", "recall": {"tasks": 3, "warm_up": 4}}
    run, plain = trainer(tmp_path, **settings), trainer(tmp_path, arm="rl")
    assert without_times(run.step()) == without_times(plain.step())
    assert TrainConfig(recall=RecallConfig(warm_up=4)).warm_up == 0


def test_former_names_are_told() -> None:
    with pytest.raises(ValueError, match=r"'warm_up' is called 'recall\.warm_up' now"):
        TrainConfig.model_validate({"warm_up": 8})
