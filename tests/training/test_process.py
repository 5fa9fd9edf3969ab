import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.training.toy import ToyGenerator, write_run
from wmsd_core.files import sha256
from wmsd_core.models import ModelsConfig
from wmsd_core.training.adapters import load_adapter
from wmsd_core.training.config import TrainConfig
from wmsd_core.training.lock import alone
from wmsd_core.training.process import train
from wmsd_core.training.run import Run, read_run

ROOT = Path(__file__).parents[2]

CONFIG = TrainConfig.model_validate(
    {
        "steps": 30,
        "tasks_per_step": 2,
        "group_size": 2,
        "sampler_steps": 2,
        "awm": {"times": 1},
        "adapter": {"rank": 2, "alpha": 4},
        "checkpoint_every": 4,
    }
)


def finish(folder: Path) -> list[dict[str, Any]]:
    """Runs to the end, in this process; returns what was reported."""
    events: list[dict[str, Any]] = []
    assert train(folder, stop=lambda: False, report=events.append)
    return events


def interrupt(folder: Path, number: int, *, after: int) -> int:
    """Starts the run as a process, sends the signal once it has reported step `after`, and returns its exit status."""
    command = [sys.executable, "-m", "wmsd_core.training", str(folder)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        for line in process.stdout:
            event = json.loads(line)
            if event["event"] == "step" and event["step"] >= after:
                process.send_signal(number)
                break
        process.communicate()
        return process.returncode


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    write_run(folder, CONFIG)
    assert finish(folder)[-1]["event"] == "finished"
    return folder


def test_a_finished_run_leaves_metrics_and_an_adapter_that_fits(undisturbed: Path) -> None:
    steps = [json.loads(line)["step"] for line in (undisturbed / "metrics.jsonl").read_text().splitlines()]
    assert steps == list(range(1, CONFIG.steps + 1))
    generator = ToyGenerator()
    load_adapter(generator, undisturbed / "adapter")
    x, sigma = torch.randn(1, 3, 2, 2), torch.ones(1)
    condition = generator.encode(np.zeros((1, 2, 2, 3), np.uint8), ["goal 1"])
    changed, base = (generator.velocity(x, sigma, condition, adapter) for adapter in ("ema", None))
    assert not torch.allclose(changed, base)
    weights = undisturbed / "adapter" / "adapter_model.safetensors"
    assert sha256(weights) == (undisturbed / "adapter" / "adapter.sha256").read_text().strip()


def test_killed_then_stopped_then_resumed_ends_with_the_same_bits(tmp_path: Path, undisturbed: Path) -> None:
    write_run(tmp_path, CONFIG)
    assert interrupt(tmp_path, signal.SIGKILL, after=10) == -signal.SIGKILL
    assert interrupt(tmp_path, signal.SIGTERM, after=17) == 128 + signal.SIGTERM
    # SIGTERM left a checkpoint of the step that it interrupted; the first event of the rest says where it resumed.
    resumed = finish(tmp_path)[0]
    assert 17 <= resumed["step"] < CONFIG.steps
    for name in ("adapter_model.safetensors", "adapter.sha256"):
        assert (tmp_path / "adapter" / name).read_bytes() == (undisturbed / "adapter" / name).read_bytes()
    rows, expected = (
        [
            json.loads(line) | {"seconds": None, "speed": None}
            for line in (folder / "metrics.jsonl").read_text().splitlines()
        ]
        for folder in (tmp_path, undisturbed)
    )
    assert rows == expected


def test_other_settings_in_the_same_folder_are_refused(tmp_path: Path) -> None:
    short = CONFIG.model_copy(update={"steps": 2})
    write_run(tmp_path, short)
    finish(tmp_path)
    write_run(tmp_path, short.model_copy(update={"seed": 1}))
    with pytest.raises(ValueError, match=r"config\.seed: 0 there, 1 now"):
        finish(tmp_path)


def test_a_run_can_start_from_the_adapter_of_another(tmp_path: Path, undisturbed: Path) -> None:
    write_run(tmp_path, CONFIG.model_copy(update={"steps": 1}))
    path = tmp_path / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"adapter": str(undisturbed / "adapter")}))
    finish(tmp_path)
    name = Path("adapter") / "adapter_model.safetensors"
    before, after = load_file(undisturbed / name), load_file(tmp_path / name)
    assert all((after[key] - before[key]).abs().max() < 2 * CONFIG.optimizer.learning_rate for key in before)
    assert any(not torch.equal(after[key], before[key]) for key in before)


def test_mistakes_in_the_folder_are_told_and_not_traced(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"has no run\.json"):
        read_run(tmp_path)
    (tmp_path / "run.json").write_text('{"config": {"stepps": 3}}')
    with pytest.raises(ValueError, match="stepps"):
        read_run(tmp_path)
    (tmp_path / "run.json").write_text('{"config": {}, "generator": "miniature"}')
    with pytest.raises(ValueError, match=r"'generator' is called 'models\.generator' now"):
        read_run(tmp_path)


def test_a_run_is_the_same_whoever_writes_tasks_and_wherever_weights_lie() -> None:
    run = Run(config=CONFIG)
    elsewhere = {"writer": "vllm", "ltx2": {"weights": "/elsewhere"}}
    assert Run(config=CONFIG, models=ModelsConfig.model_validate(elsewhere)).digest() == run.digest()
    assert Run(config=CONFIG, models=ModelsConfig(judge="vllm")).digest() != run.digest()
    assert set(run.identity()) == {
        "config",
        "generator",
        "judge",
        "pickscore",
        "pickscore_processor",
        "server",
        "local",
    }


def test_a_run_stops_with_a_checkpoint_when_its_parent_is_gone(tmp_path: Path) -> None:
    write_run(tmp_path, CONFIG.model_copy(update={"steps": 100_000, "checkpoint_every": 100_000}))
    command = [sys.executable, "-m", "wmsd_core.training", "--with-parent", str(tmp_path)]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin and process.stdout and process.stderr
        while json.loads(process.stdout.readline())["event"] != "step":
            pass
        # As the kernel does for a parent that is killed: both pipes end.
        process.stdin.close()
        process.stdout.close()
        assert process.wait(60) == 128 + signal.SIGTERM
        assert process.stderr.read() == ""
    assert len(list((tmp_path / "checkpoints").glob("step-*"))) == 1


def test_a_finished_run_with_a_parent_ends_well_and_what_libraries_print_is_not_among_its_events(
    tmp_path: Path,
) -> None:
    write_run(tmp_path, CONFIG.model_copy(update={"steps": 2}))
    run = json.loads((tmp_path / "run.json").read_text())
    run["models"]["generator"] = "tests.training.loud:LoudGenerator"
    (tmp_path / "run.json").write_text(json.dumps(run))
    command, pipe = [sys.executable, "-m", "wmsd_core.training", "--with-parent", str(tmp_path)], subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout and process.stderr
        events, log = process.stdout.read(), process.stderr.read()
        assert process.wait(60) == 0
    assert [json.loads(line)["event"] for line in events.splitlines()][-1] == "finished"
    assert {"imported", "decoded", "from below Python"} <= set(log.splitlines())


def test_two_processes_never_train_in_one_folder(tmp_path: Path) -> None:
    write_run(tmp_path, CONFIG)
    with (
        alone(tmp_path, patience=0),
        pytest.raises(ValueError, match="another process is training"),
        alone(tmp_path, 0.2),
    ):
        pass
    with alone(tmp_path, patience=0):
        pass


def test_pictures_are_checked_before_anything_is_encoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_run(
        tmp_path, TrainConfig.model_validate({"steps": 9, "tasks_per_step": 1, "group_size": 2, "sampler_steps": 2})
    )
    broken = next(tmp_path.glob("*.png"))
    broken.write_bytes(broken.read_bytes()[:30])
    monkeypatch.setattr(ToyGenerator, "encode", lambda *_: pytest.fail("encoded"))
    with pytest.raises(ValueError, match=f"1 pictures cannot be read: .*{broken.name}"):
        train(tmp_path, stop=lambda: False, report=lambda _: None)
