"""Two processes under torchrun learn what one does, and a run survives the loss of either."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.training.ranks import CASES, gradients
from tests.training.toy import write_run
from wmsd_core.training.config import TrainConfig
from wmsd_core.training.distributed import ALONE
from wmsd_core.training.launch import LaunchConfig, command
from wmsd_core.training.process import train

ROOT = Path(__file__).parents[2]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Gradients of one and of two processes, the latter with a whole and with a split base."""
    folder = tmp_path_factory.mktemp("gradients")
    subprocess.run([*TORCHRUN, "-m", "tests.training.ranks", str(folder)], cwd=ROOT, check=True, timeout=300)
    gradients(folder, ALONE)
    return folder


@pytest.mark.parametrize("kind", ["whole", "sharded"])
@pytest.mark.parametrize("case", CASES)
def test_two_processes_have_the_gradient_of_one(learned: Path, case: str, kind: str) -> None:
    one = load_file(learned / f"{case}-whole-1.safetensors")
    two = load_file(learned / f"{case}-{kind}-2.safetensors")
    assert len(one) == len(two) and max(float(g.abs().max()) for g in one.values()) > 1e-3
    for (_, expected), (_, found) in zip(sorted(one.items()), sorted(two.items()), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("case", CASES)
def test_the_metrics_of_two_processes_are_those_of_the_whole_step(learned: Path, case: str) -> None:
    one, two = (json.loads((learned / f"{case}-whole-{n}.json").read_text()) for n in (1, 2))
    assert one.keys() == two.keys() and one["forwards"] == two["forwards"]
    for name in (
        "reward",
        "reward_spread",
        "unread",
        "unscored",
        "flat_groups",
        "anchor",
        "policy",
        "gradient_norm",
        "recall",
    ):
        if name in one:
            assert two[name] == pytest.approx(one[name], rel=1e-4, abs=1e-7, nan_ok=True), name


@pytest.mark.parametrize("kind", ["whole", "sharded"])
def test_two_processes_find_on_held_out_tasks_what_one_finds(learned: Path, kind: str) -> None:
    for case in CASES:
        one, two = (
            json.loads((learned / f"{case}-{k}-{n}.json").read_text())["tried"] for k, n in (("whole", 1), (kind, 2))
        )
        assert one["unread"] == 4 and 0 < one["score"] < 1  # "goal 0" twice, by two criteria each
        assert two == one, case


def test_what_does_not_pass_is_not_recalled_where_processes_keep_step(learned: Path) -> None:
    """With a split base they draw it all the same."""
    one, two = (json.loads((learned / f"vetted-{name}.json").read_text()) for name in ("whole-1", "sharded-2"))
    assert 0 < one["recalled"] == two["recalled"] < 6 and two["recall"] == pytest.approx(one["recall"], rel=1e-4)


def test_a_split_base_is_held_in_parts(learned: Path) -> None:
    whole, split = (json.loads((learned / f"full-{kind}-2.json").read_text())["held"] for kind in ("whole", "sharded"))
    assert whole == 1 and split == pytest.approx(0.5, abs=0.1)


CONFIG = TrainConfig.model_validate(
    {
        "steps": 250,
        "tasks_per_step": 2,
        "group_size": 2,
        "sampler_steps": 2,
        "awm": {"times": 1},
        "adapter": {"rank": 2, "alpha": 4},
        "checkpoint_every": 20,
    }
)


def run(folder: Path, *, processes: int, shard: bool = False, stop: int | None = None, after: int = 0) -> int:
    """Trains in `folder`; sends signal `stop` to the whole group once step `after` was reported. Returns the status."""
    launch = LaunchConfig(processes=processes, shard=shard)
    with subprocess.Popen(
        command(folder, launch),
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=(folder / "log").open("a"),
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout
        for line in process.stdout:
            event = json.loads(line)
            if stop is not None and event["event"] == "step" and event["step"] >= after:
                os.killpg(process.pid, stop)
                break
        process.communicate()
        return process.returncode


def adapter(folder: Path) -> bytes:
    return (folder / "adapter" / "adapter_model.safetensors").read_bytes()


def test_a_run_of_two_that_is_stopped_and_killed_ends_with_the_same_bits(tmp_path: Path) -> None:
    straight, broken = tmp_path / "straight", tmp_path / "broken"
    for folder in (straight, broken):
        write_run(folder, CONFIG)
    assert run(straight, processes=2) == 0
    assert run(broken, processes=2, stop=signal.SIGTERM, after=33) != 0
    (left,) = (path for path in (broken / "checkpoints").iterdir() if path.name > "step-00000020")
    names = sorted(path.name for path in left.glob("*.safetensors"))
    assert names == ["tensors-00000-of-00002.safetensors", "tensors-00001-of-00002.safetensors"]
    assert run(broken, processes=2, stop=signal.SIGKILL, after=100) != 0
    assert not (broken / "adapter").exists(), "it was killed too late to show anything"
    assert run(broken, processes=2) == 0
    assert adapter(broken) == adapter(straight)


def test_a_checkpoint_of_two_resumes_on_one_and_the_reverse(tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"steps": 30, "checkpoint_every": 10})
    alone, mixed = tmp_path / "alone", tmp_path / "mixed"
    for folder in (alone, mixed):
        write_run(folder, config)
    assert train(alone, stop=lambda: False, report=lambda _: None)
    steps = iter([False] * 9 + [True])
    assert not train(mixed, stop=lambda: next(steps), report=lambda _: None)
    assert run(mixed, processes=2, shard=True, stop=signal.SIGTERM, after=15) != 0
    assert max(path.name for path in (mixed / "checkpoints").iterdir()) > "step-00000010"
    assert train(mixed, stop=lambda: False, report=lambda _: None)
    one, other = (load_file(folder / "adapter" / "adapter_model.safetensors") for folder in (alone, mixed))
    for name, weight in one.items():
        torch.testing.assert_close(other[name], weight, rtol=1e-4, atol=1e-5)


def test_a_process_whose_companions_are_gone_does_not_outlive_its_parent(tmp_path: Path) -> None:
    """It asks for them at a port where nobody listens, and would go on for half an hour."""
    write_run(tmp_path, CONFIG)
    world = {"WORLD_SIZE": "2", "RANK": "1", "LOCAL_RANK": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "9"}
    orphan = [sys.executable, "-m", "wmsd_core.training", "--with-parent", str(tmp_path)]
    done = subprocess.run(orphan, cwd=ROOT, env=os.environ | world, capture_output=True, input=b"", timeout=120)
    assert done.returncode == -signal.SIGTERM


def test_a_mistake_is_reported_in_the_runs_own_words(tmp_path: Path) -> None:
    write_run(tmp_path, CONFIG.model_copy(update={"tasks_per_step": 3}))
    with subprocess.Popen(
        command(tmp_path, LaunchConfig(processes=2)),
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout
        events = [json.loads(line) for line in process.stdout]
    reason = "2 processes cannot share 3 tasks per step: use a multiple"
    assert process.returncode and {"event": "error", "reason": reason} in events


def test_splitting_over_one_process_is_refused_with_the_cure(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"launch\.processes to 2"):
        command(tmp_path, LaunchConfig(shard=True))


def test_two_machines_meet_and_learn_what_one_process_learns(tmp_path: Path) -> None:
    short = CONFIG.model_copy(update={"steps": 3})
    alone, together = tmp_path / "alone", tmp_path / "together"
    for folder in (alone, together):
        write_run(folder, short)
    train(alone, stop=lambda: False, report=lambda _: None)
    with socket.socket() as free:
        free.bind(("localhost", 0))
        place = f"localhost:{free.getsockname()[1]}"
    launch = LaunchConfig(nodes=2, rendezvous=place, tracker="none")
    nodes = [subprocess.Popen(command(together, launch), cwd=ROOT, stdin=subprocess.PIPE) for _ in range(2)]
    assert [node.wait(timeout=200) for node in nodes] == [0, 0]
    one, two = (load_file(folder / "adapter" / "adapter_model.safetensors") for folder in (alone, together))
    for name, expected in one.items():
        torch.testing.assert_close(two[name], expected, rtol=1e-4, atol=1e-6)
    with pytest.raises(ValueError, match=r"launch\.rendezvous"):
        command(together, LaunchConfig(nodes=2))
