import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from peft import PeftConfig
from safetensors.torch import load_file

from tests.training.toy import ToyGenerator, write_run
from wmsd_core.generators import lora
from wmsd_core.training.checkpoint import sha256
from wmsd_core.training.config import TrainConfig

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


def start(folder: Path) -> "subprocess.Popen[str]":
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent), "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "wmsd_core.training", str(folder)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def interrupt(folder: Path, number: int, *, after: int) -> int:
    """Starts the run, sends the signal once it has reported step `after`, and returns its exit status."""
    process = start(folder)
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
    process = start(folder)
    out, err = process.communicate()
    assert process.returncode == 0, err
    assert json.loads(out.splitlines()[-1])["event"] == "finished"
    return folder


def test_a_finished_run_leaves_metrics_and_an_adapter_that_fits(undisturbed: Path) -> None:
    steps = [json.loads(line)["step"] for line in (undisturbed / "metrics.jsonl").read_text().splitlines()]
    assert steps == list(range(1, 31))
    adapter = undisturbed / "adapter"
    assert sha256(adapter / "adapter_model.safetensors") == (adapter / "adapter.sha256").read_text().strip()
    assert PeftConfig.from_pretrained(str(adapter)).r == 2  # pyright: ignore[reportAttributeAccessIssue]
    generator = ToyGenerator()
    lora.add_adapter(generator.network, "ema", generator.lora_targets, rank=2, alpha=4, seed=9)
    lora.load_adapter_state(generator.network, "ema", load_file(adapter / "adapter_model.safetensors"))


def test_killed_then_stopped_then_resumed_ends_with_the_same_bits(tmp_path: Path, undisturbed: Path) -> None:
    write_run(tmp_path, CONFIG)
    assert interrupt(tmp_path, signal.SIGKILL, after=10) == -signal.SIGKILL
    assert interrupt(tmp_path, signal.SIGTERM, after=17) == 128 + signal.SIGTERM
    process = start(tmp_path)
    out, err = process.communicate()
    assert process.returncode == 0, err
    # SIGTERM left a checkpoint of the step that it interrupted, not of the last multiple of four.
    assert json.loads(out.splitlines()[0])["step"] >= 17
    for name in ("adapter_model.safetensors", "adapter.sha256"):
        assert (tmp_path / "adapter" / name).read_bytes() == (undisturbed / "adapter" / name).read_bytes()
    rows, expected = (
        [json.loads(line) | {"seconds": None} for line in (folder / "metrics.jsonl").read_text().splitlines()]
        for folder in (tmp_path, undisturbed)
    )
    assert rows == expected


def test_other_settings_in_the_same_folder_are_refused(tmp_path: Path, undisturbed: Path) -> None:
    write_run(undisturbed, CONFIG.model_copy(update={"seed": 1}))
    _, err = (process := start(undisturbed)).communicate()
    write_run(undisturbed, CONFIG)
    assert process.returncode == 2 and "config.seed: 0 there, 1 now" in err and "Traceback" not in err
