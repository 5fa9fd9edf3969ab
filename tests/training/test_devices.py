"""The trainer with its generator on another device, as on a GPU: no tensors of two devices meet, and nothing changes."""

from pathlib import Path
from typing import Any, get_args

import pytest
import torch

from tests.training.devices import DEVICE, Elsewhere, Remote, TwoDevices
from tests.training.test_arms import POLICIES, report
from tests.training.test_loop import SETTINGS
from tests.training.toy import ToyGenerator, ToyJudge, write_run
from wmsd_core.training.arms import TrainingArm
from wmsd_core.training.batch import Batch
from wmsd_core.training.checkpoint import load_newest, save
from wmsd_core.training.config import TrainConfig
from wmsd_core.training.loop import Trainer
from wmsd_core.training.rollout import roll_out

PHASES = {"alternating": {"demonstrator_steps": 1, "executor_steps": 1}}
CASES: dict[str, dict[str, Any]] = {
    **{arm: {"arm": arm} | PHASES for arm in get_args(TrainingArm)},
    **{name: {"arm": "rl"} | settings for name, settings in POLICIES.items()},
    "per step": {"rewards": {"per_step": True}},
    "sum": {"rewards": {"aggregation": "sum"}},
}


def trainer(folder: Path, device: str, **changes: Any) -> Trainer:
    config = TrainConfig.model_validate(SETTINGS | changes)
    return Trainer(config, ToyGenerator(device), write_run(folder, config), ToyJudge())


@pytest.mark.parametrize("case", CASES)
def test_a_step_elsewhere_is_the_same_step(tmp_path: Path, case: str) -> None:
    here = trainer(tmp_path, "cpu", **CASES[case])
    rows = [report(here) for _ in range(2)]
    with Elsewhere():
        there = trainer(tmp_path, str(DEVICE), **CASES[case])
        assert all(isinstance(weight, Remote) for weight in there.generator.network.parameters())
        assert [report(there) for _ in range(2)] == rows


def test_a_run_elsewhere_resumes_to_the_same_step(tmp_path: Path) -> None:
    with Elsewhere():
        straight, resumed = (trainer(tmp_path, str(DEVICE)) for _ in range(2))
        straight.step()
        written = straight.checkpoint()
        save(tmp_path, type(written)({k: v.cpu() for k, v in written.tensors.items()}, written.counters), {})
        read, _ = load_newest(tmp_path, {})
        assert read
        resumed.restore(read)
        assert report(resumed) == report(straight)


def test_the_sampler_never_waits_for_the_device(tmp_path: Path) -> None:
    with Elsewhere() as elsewhere:
        run = trainer(tmp_path, str(DEVICE))
        batch = Batch(run.generator, run.examples, run.groups.next(), group_size=4, seed=5)
        elsewhere.waits.clear()
        roll_out(batch, run.grid, run.config.lessons[0], compare=True, micro_batch=5)
        assert not elsewhere.waits


def test_trajectories_rest_in_the_memory_of_the_cpu(tmp_path: Path) -> None:
    with Elsewhere():
        run = trainer(tmp_path, str(DEVICE))
        batch = Batch(run.generator, run.examples, run.groups.next(), group_size=4, seed=5)
        rollouts = roll_out(batch, run.grid, run.config.lessons[0], compare=True, micro_batch=5)
        assert rollouts.targets
        resting = [*rollouts.states.chunks, *rollouts.targets.chunks]
        assert not any(isinstance(chunk, Remote) for chunk in resting)
        assert isinstance(rollouts.states.final(batch.rows[3:7]), Remote)


def test_a_step_waits_as_often_whatever_the_sampler_does(tmp_path: Path) -> None:
    """Metrics are read once per micro-batch, not once per noise level."""
    waits: list[int] = []
    for steps in (2, 4):
        with Elsewhere() as elsewhere:
            run = trainer(tmp_path, str(DEVICE), sampler_steps=steps)
            run.step()
            elsewhere.waits.clear()
            run.step()
            waits.append(elsewhere.waits.total())
    assert waits[0] == waits[1] > 0


def test_what_a_gpu_refuses_is_refused() -> None:
    with Elsewhere():
        here, there = torch.arange(3.0), torch.arange(3.0).to(DEVICE)
        flags, rows = torch.tensor([True, False, True]), torch.tensor([2, 0])
        for refused in (
            lambda: here + there,
            lambda: torch.stack([here, there]),
            lambda: torch.cat([here, there]),
            lambda: torch.stack([here[0], there[0]]),
            lambda: torch.where(flags, there, there),
            lambda: here[rows.to(DEVICE)],
            lambda: here.index_add_(0, rows, there[:2]),
            lambda: there.index_add_(0, rows, there[:2]),
            lambda: there.index_put_((rows,), here[:2]),
            lambda: torch.randn(3, device=DEVICE, generator=torch.Generator()),
        ):
            with pytest.raises(TwoDevices):
                refused()
        with pytest.raises((TypeError, RuntimeError)):
            there.numpy()


def test_what_a_gpu_allows_is_allowed_and_waits_are_counted() -> None:
    with Elsewhere() as elsewhere:
        there, rows = torch.arange(3.0).to(DEVICE), torch.tensor([2, 0])
        copy = torch.zeros(3)
        total = (there * torch.tensor(2.0))[rows] + there.new_ones(2) + torch.tensor([1.0, 1.0], device=DEVICE)
        there[1:] = torch.ones(2)
        assert not elsewhere.waits
        copy.copy_(there)
        assert total.tolist() == [6, 2] and float(there.sum()) == 2 and copy.tolist() == [0, 1, 1]
        assert elsewhere.waits.total() == 3


def test_gradients_flow_on_both_devices() -> None:
    with Elsewhere():
        here = torch.ones(3, requires_grad=True)
        loss = (here.to(DEVICE) * 2).square().sum()
        loss.backward()
    assert here.grad is not None and not isinstance(here.grad, Remote) and here.grad.tolist() == [8, 8, 8]
