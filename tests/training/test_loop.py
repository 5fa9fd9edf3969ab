from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.training.toy import ToyGenerator, ToyJudge, write_run
from wmsd_core.rewards.distillation import step_rewards
from wmsd_core.training.arms import DEMONSTRATOR, EXECUTOR, TrainingArm
from wmsd_core.training.batch import Batch
from wmsd_core.training.config import TrainConfig
from wmsd_core.training.distributed import ALONE
from wmsd_core.training.loop import Metrics, Trainer
from wmsd_core.training.reinforcement import policy_objective
from wmsd_core.training.reinforcement.gradient import reinforce
from wmsd_core.training.rollout import roll_out
from wmsd_core.training.stopwatch import Stopwatch
from wmsd_core.training.turn import Turn

SETTINGS = {
    "steps": 6,
    "tasks_per_step": 3,
    "group_size": 4,
    "sampler_steps": 3,
    "anchor_states": 2,
    "awm": {"times": 2},
    "adapter": {"rank": 4, "alpha": 8},
    "optimizer": {"learning_rate": 0.02},
    "seed": 5,
}


def trainer(folder: Path, **changes: object) -> Trainer:
    config = TrainConfig.model_validate(SETTINGS | changes)
    return Trainer(config, ToyGenerator(), write_run(folder, config), ToyJudge())


def weights(trainer: Trainer) -> dict[str, Tensor]:
    return {key: value.clone() for key, value in trainer.checkpoint().tensors.items()}


def without_times(metrics: Metrics) -> Metrics:
    return {key: value for key, value in metrics.items() if key not in ("seconds", "memory", "speed")}


def first_gradients(trainer: Trainer) -> dict[str, Tensor]:
    trainer.step()
    return {name: weight.grad.clone() for name, weight in trainer.adapters["policy"].items() if weight.grad is not None}


@pytest.mark.parametrize("arm", ["full", "rl", "anchor", "off_policy"])
def test_micro_batches_do_not_change_the_gradient(tmp_path: Path, arm: TrainingArm) -> None:
    whole = first_gradients(trainer(tmp_path, arm=arm, micro_batch=1000))
    assert any(gradient.abs().max() > 1e-4 for gradient in whole.values())
    for micro_batch in (1, 5):
        for name, gradient in first_gradients(trainer(tmp_path, arm=arm, micro_batch=micro_batch)).items():
            torch.testing.assert_close(gradient, whole[name], rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("arm", ["anchor", "off_policy"])
def test_the_executor_learns_to_do_as_the_demonstrator(tmp_path: Path, arm: TrainingArm) -> None:
    run = trainer(tmp_path, arm=arm, steps=60, group_size=1, tasks_per_step=16)
    losses = [run.step()["anchor"] for _ in range(60)]
    assert sum(losses[-5:]) < 0.2 * sum(losses[:5])


def test_rewards_rise_and_unread_judgments_are_counted(tmp_path: Path) -> None:
    run = trainer(tmp_path, arm="rl", steps=60, group_size=8, tasks_per_step=8, optimizer={"learning_rate": 0.01})
    rows = [run.step() for _ in range(60)]
    early, late = (sum(row["reward"]["task"] for row in part) / 10 for part in (rows[:10], rows[-10:]))
    assert late > early + 0.5
    assert rows[0]["unread"] == {"zero is no goal": 2 * rows[0]["unscored"]} and rows[0]["unscored"] % 8 == 0


def test_the_policy_loss_alone_follows_its_definition_on_the_first_step(tmp_path: Path) -> None:
    """On policy L = -mean A and the ratio is exactly 1; a second update has the first one's likelihoods as old ones."""
    row = trainer(tmp_path, arm="rl").step()
    assert row["ratio_change"] == 0 and row["ratio_clipped"] == 0 and abs(row["policy"]) < 1e-9
    twice = trainer(tmp_path, arm="rl", awm={"times": 2, "updates": 2, "clip": 1e-6}).step()
    assert twice["ratio_change"] > 1e-3 and twice["ratio_clipped"] > 0.5


def test_later_updates_are_compared_with_the_policy_of_the_rollout(tmp_path: Path) -> None:
    """In the linear range, and after n equal steps, the ratio has moved n times as far."""
    small = {"arm": "rl", "optimizer": {"learning_rate": 1e-5}}
    runs = (trainer(tmp_path, **small, awm={"times": 2, "updates": n}) for n in (2, 3))
    second, third = (run.step()["ratio_change"] for run in runs)
    assert second > 0 and third / second == pytest.approx(2, rel=0.1)


def test_the_anchor_reuses_the_velocities_of_the_distillation_reward(tmp_path: Path) -> None:
    """12 rollouts, 3 steps: 36 forwards to sample, 36 by the Demonstrator, 24 anchor states, 2 times per scored one."""
    row = trainer(tmp_path).step()
    assert row["forwards"] == 36 + 36 + 24 + 2 * (12 - row["unscored"])
    assert trainer(tmp_path, arm="anchor").step()["forwards"] == 36 + 2 * 24
    assert trainer(tmp_path, arm="off_policy").step()["forwards"] == 36 + 24


def test_rollouts_hold_the_demonstrators_velocities_on_the_executors_states(tmp_path: Path) -> None:
    run = trainer(tmp_path)
    batch = Batch(run.generator, run.examples, run.groups.next(), group_size=4, seed=5)
    rollouts = roll_out(batch, run.grid, run.config.lesson_at(0), compare=True, micro_batch=5)
    level = torch.ones(12, dtype=torch.int64)
    x, sigma = rollouts.states.take(level, batch.rows), run.grid[1].float().expand(12)
    with torch.no_grad():
        expected, own = (batch.velocity(role, x, sigma, batch.rows) for role in (DEMONSTRATOR, EXECUTOR))
    assert rollouts.targets is not None and not torch.equal(expected, own)
    torch.testing.assert_close(rollouts.targets.take(level, batch.rows), expected)
    assert rollouts.agreement is not None
    torch.testing.assert_close(rollouts.agreement[1], step_rewards(own[None], expected[None], rollouts.active)[0])
    first = batch.short.select(batch.rows // 4).first  # pyright: ignore[reportAttributeAccessIssue]
    states = torch.cat([*rollouts.states.chunks], 1)
    assert torch.equal(states[:, :, 0], first.expand(4, *first.shape)), "the given frame was touched"


def test_rollouts_of_a_group_differ_and_noise_does_not_depend_on_the_micro_batch(tmp_path: Path) -> None:
    run = trainer(tmp_path)
    batch = Batch(run.generator, run.examples, run.groups.next(), group_size=4, seed=5)
    noise = batch.noise(batch.rows, "rollout", count=2)
    assert len(noise.flatten(1)[:, -1].unique()) == 24
    part = batch.noise(batch.rows[5:7], "rollout", count=2)
    assert torch.equal(part, noise[10:14])
    assert not torch.equal(noise, batch.noise(batch.rows, "renoise", count=2))


def test_only_the_adapter_learns_and_the_average_follows_it(tmp_path: Path) -> None:
    run = trainer(tmp_path, ema={"decay": 0.75, "interval": 2})
    base = {k: v.clone() for k, v in run.generator.network.state_dict().items() if "lora_" not in k}
    start = weights(run)
    run.step()
    assert all(torch.equal(v, start[k]) for k, v in weights(run).items() if k.startswith("ema."))
    run.step()
    end = weights(run)
    for name in run.adapters["policy"]:
        torch.testing.assert_close(end[f"ema.{name}"], 0.75 * start[f"ema.{name}"] + 0.25 * end[f"policy.{name}"])
    moved = run.generator.network.state_dict()
    assert all(torch.equal(moved[k], v) for k, v in base.items())


def test_no_gradient_lies_where_videos_are_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, lying = trainer(tmp_path), list[bool]()
    decode = ToyGenerator.decode
    monkeypatch.setattr(
        ToyGenerator,
        "decode",
        lambda self, x: (
            lying.append(any(w.grad is not None for w in run.adapters["policy"].values())),
            decode(self, x),
        )[1],
    )
    run.step()
    run.step()
    assert lying and not any(lying)


def test_per_step_credit_gives_each_noise_level_its_own_advantage(tmp_path: Path) -> None:
    """Credit for step 1 only: training at grid point 1 has a gradient, at grid point 0 none."""
    advantages = torch.zeros(3, 12, dtype=torch.float64)
    advantages[1] = 1
    sizes: list[float] = []
    for level in (0, 1):
        run = trainer(tmp_path, awm={"times": 2, "levels": [level]})
        batch = Batch(run.generator, run.examples, run.groups.next(), group_size=4, seed=5)
        rollouts = roll_out(batch, run.grid, run.config.lesson_at(0), compare=False, micro_batch=5)
        turn = Turn(
            run.config,
            run.config.lesson_at(0),
            run.grid,
            batch,
            rollouts,
            torch.ones(3, dtype=torch.bool),
            Stopwatch(),
            ALONE,
        )
        reinforce(turn, policy_objective(turn, advantages), advantages, first=True)
        sizes.append(sum(float(w.grad.abs().sum()) for w in run.adapters["policy"].values() if w.grad is not None))
    assert sizes[0] == 0 < sizes[1]


def test_agreement_is_credited_to_steps_only_if_asked_for(tmp_path: Path) -> None:
    weights = {"task": 0, "consistency": 0, "distillation": 1, "distillation_floor": 1e-9}
    whole = first_gradients(trainer(tmp_path, rewards=weights))
    each = first_gradients(trainer(tmp_path, rewards=weights | {"per_step": True}))
    assert any(not torch.allclose(each[name], whole[name], rtol=1e-2) for name in whole)


def test_the_weights_of_the_full_objective_act(tmp_path: Path) -> None:
    """Gradient of w L_RL + beta L_anchor, from runs that differ in one weight."""
    clip = {"optimizer": {"learning_rate": 0.02, "max_grad_norm": 1e9}}
    one, three, half = (
        first_gradients(trainer(tmp_path, **clip, **w))
        for w in ({"anchor_weight": 1.0}, {"anchor_weight": 3.0}, {"anchor_weight": 1.0, "rl_weight": 0.5})
    )
    regression = first_gradients(trainer(tmp_path, arm="anchor", **clip))
    policy = {name: one[name] - regression[name] for name in one}
    for name in one:
        torch.testing.assert_close(three[name] - one[name], 2 * regression[name], rtol=1e-3, atol=1e-5)
        torch.testing.assert_close(half[name], regression[name] + policy[name] / 2, rtol=1e-3, atol=1e-5)


def test_a_stopped_run_continues_to_the_same_bits(tmp_path: Path) -> None:
    straight, first = trainer(tmp_path), trainer(tmp_path)
    rows = [without_times(straight.step()) for _ in range(6)]
    for _ in range(3):
        first.step()
    second = trainer(tmp_path)
    second.restore(first.checkpoint())
    assert [without_times(second.step()) for _ in range(3)] == rows[3:]
    end = weights(second)
    assert all(torch.equal(value, end[key]) for key, value in weights(straight).items())


def test_a_run_that_needs_a_judge_says_so(tmp_path: Path) -> None:
    config = TrainConfig.model_validate(SETTINGS)
    with pytest.raises(ValueError, match="need a judge"):
        Trainer(config, ToyGenerator(), write_run(tmp_path, config), None)
