"""What a run is, whatever it is called and wherever it lies: made longer, moved, mended, begun at another's checkpoint."""

import errno
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from tests.training.test_process import CONFIG, ROOT, finish
from tests.training.toy import write_run
from wmsd_core.training import process
from wmsd_core.training.adapters import WEIGHTS
from wmsd_core.training.checkpoint import Checkpoint, Publication, save
from wmsd_core.training.config import TrainConfig
from wmsd_core.training.deliveries import intact, kept, published
from wmsd_core.training.lineage import Lineage
from wmsd_core.training.records import RunFolder
from wmsd_core.workspace import Workspace

SHORT = CONFIG.model_copy(update={"steps": 4})
LONG = CONFIG.model_copy(update={"steps": 8})


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("long")
    write_run(folder, LONG)
    finish(folder)
    return folder


def test_a_finished_run_is_made_longer_to_the_same_bits_and_keeps_its_earlier_adapter(
    tmp_path: Path, long: Path
) -> None:
    write_run(tmp_path, SHORT)
    finish(tmp_path)
    before = intact(tmp_path / "adapter")
    # as after running out of memory, and with a nearer checkpoint
    changed = LONG.model_copy(update={"micro_batch": 2, "checkpoint_every": 3})
    write_run(tmp_path, changed)
    events = finish(tmp_path)
    assert next(event for event in events if event["event"] == "start")["step"] == 4
    assert intact(tmp_path / "adapter") and intact(published(tmp_path, 4)) == before
    write_run(tmp_path, SHORT)
    assert finish(tmp_path)[-1]["adapter"].endswith("adapter-00000004")
    write_run(tmp_path, CONFIG.model_copy(update={"steps": 6}))
    with pytest.raises(ValueError, match=r"trained to step 8 already.*set train.steps to 8 or more"):
        finish(tmp_path)
    whole = tmp_path.parent / f"{tmp_path.name}-whole"
    write_run(whole, SHORT)
    finish(whole)
    write_run(whole, LONG)
    finish(whole)
    assert intact(whole / "adapter") == intact(long / "adapter")


@pytest.mark.parametrize("killed", ["between", "after"])
def test_weights_of_a_kept_step_are_those_of_a_run_that_ends_there(
    tmp_path: Path, long: Path, killed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_run(tmp_path / "short", SHORT)
    finish(tmp_path / "short")
    run, keeping = tmp_path / "run", LONG.model_copy(update={"keep_every": 2, "checkpoint_every": 4})
    write_run(run, keeping)
    if killed == "between":  # the weights of step 4 and its checkpoint
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(process, "save", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
            finish(run)
        assert not (run / "checkpoints").exists()
    else:
        assert not process.train(run, stop=lambda: kept(run, 4).exists(), report=lambda _: None)
    finish(run)
    assert sorted(path.name for path in run.glob("adapter-*")) == [f"adapter-0000000{step}" for step in (2, 4, 6)]
    assert intact(kept(run, 4)) == intact(tmp_path / "short" / "adapter")
    assert intact(run / "adapter") == intact(long / "adapter"), "keeping changes no step"


def test_an_evaluation_is_told_which_steps_were_kept(long: Path) -> None:
    run = RunFolder("run", long, LONG.steps)
    assert run.adapter_at(None) == run.adapter_at(8) == long / "adapter"
    with pytest.raises(
        ValueError, match=r"no whole adapter of step 4; it has those of 8\. Train it with train\.keep_every"
    ):
        run.adapter_at(4)


def test_what_every_step_depends_on_is_in_the_identity_and_nothing_else() -> None:
    same = ({"steps": 7}, {"micro_batch": 1}, {"checkpoint_every": 1}, {"keep_every": 2}, {"rewards": {"overlap": 5}})
    other = ({"seed": 1}, {"optimizer": {"learning_rate": 1e-5}}, {"adapter": {"rank": 2}}, {"vet_demonstrator": True})
    digest = TrainConfig().digest()
    assert {TrainConfig.model_validate(change).digest() for change in same} == {digest}
    assert digest not in {TrainConfig.model_validate(change).digest() for change in other}
    falling = [TrainConfig.model_validate({"steps": n, "optimizer": {"decay": "linear"}}).digest() for n in (5, 6)]
    assert falling[0] != falling[1]


def test_a_setting_that_came_later_leaves_runs_of_before_their_identity() -> None:
    assert "vet_demonstrator" not in TrainConfig().identity()
    assert TrainConfig.model_validate({"vet_demonstrator": True}).identity()["vet_demonstrator"] is True


def test_a_moved_run_is_the_same_run(tmp_path: Path) -> None:
    write_run(tmp_path / "here", SHORT)
    finish(tmp_path / "here")
    shutil.move(tmp_path / "here", tmp_path / "there")
    write_run(tmp_path / "there", SHORT)  # its pictures have other paths now
    assert finish(tmp_path / "there")[0]["step"] == SHORT.steps


@pytest.mark.parametrize(
    "name",
    [WEIGHTS, "adapter.sha256", "adapter_config.json", "training.json", "manifest.json", f"peft/{WEIGHTS}"],
)
@pytest.mark.parametrize("cut", [None, 0.5])
def test_a_damaged_adapter_is_delivered_again(tmp_path: Path, long: Path, name: str, cut: float | None) -> None:
    folder = tmp_path / "run"
    shutil.copytree(long, folder)
    whole = intact(folder / "adapter")
    path = folder / "adapter" / name
    content = path.read_bytes()
    path.unlink()
    if cut is not None:
        path.write_bytes(content[: int(len(content) * cut)])
    assert intact(folder / "adapter") == ""
    finish(folder)
    assert intact(folder / "adapter") == whole


def test_an_adapter_that_lost_its_step_passes_for_no_other(tmp_path: Path) -> None:
    write_run(tmp_path, SHORT)
    finish(tmp_path)
    short = intact(tmp_path / "adapter")
    write_run(tmp_path, LONG)
    finish(tmp_path)
    (tmp_path / "adapter" / "training.json").unlink()
    assert intact(published(tmp_path, SHORT.steps)) == short
    assert intact(published(tmp_path, LONG.steps)) == "" == intact(published(tmp_path, 6))


def test_a_run_begins_at_the_checkpoint_of_another_and_says_so(tmp_path: Path, long: Path) -> None:
    start = long / "checkpoints" / "step-00000004"
    optimizer = CONFIG.optimizer.model_copy(update={"learning_rate": 1e-5})
    calmer = LONG.model_copy(update={"start": start, "optimizer": optimizer})
    write_run(tmp_path, calmer)
    events = finish(tmp_path)
    assert next(event for event in events if event["event"] == "start")["step"] == 4
    lineage = Lineage.model_validate_json((tmp_path / "lineage.json").read_text())
    assert (lineage.checkpoint, lineage.step) == (start, 4)
    assert json.loads((tmp_path / "adapter" / "training.json").read_text())["start"]["sha256"] == lineage.sha256
    # the other run may be gone, and this one still goes on
    write_run(tmp_path, calmer.model_copy(update={"start": tmp_path / "gone"}))
    assert finish(tmp_path)[-1]["event"] == "finished"
    other = tmp_path / "other"
    write_run(other, calmer.model_copy(update={"adapter": CONFIG.adapter.model_copy(update={"rank": 3})}))
    with pytest.raises(ValueError, match=r"does not fit these settings.*train\.adapter\.rank"):
        finish(other)
    write_run(other, calmer.model_copy(update={"start": long / "checkpoints" / "step-00000008"}))
    with pytest.raises(ValueError, match=r"began at .*which is another checkpoint"):
        finish(other)
    write_run(tmp_path / "new", calmer.model_copy(update={"start": tmp_path / "nowhere"}))
    with pytest.raises(ValueError, match=r"there is no checkpoint .*nowhere"):
        finish(tmp_path / "new")


def with_rate(config: TrainConfig, rate: float, **others: Any) -> TrainConfig:
    optimizer = config.optimizer.model_copy(update={"learning_rate": rate})
    return config.model_copy(update={"optimizer": optimizer, **others})


def test_a_run_that_diverges_says_what_to_change_and_goes_on_with_that(tmp_path: Path, long: Path) -> None:
    healthy = long / "checkpoints" / "step-00000004"
    wild, calm = tmp_path / "wild", tmp_path / "calm"
    write_run(wild, with_rate(LONG, 1e6, start=healthy))
    process = subprocess.run(
        [sys.executable, "-m", "wmsd_core.training", str(wild)], cwd=ROOT, capture_output=True, text=True
    )
    event = json.loads(process.stdout.splitlines()[-1])
    assert (process.returncode, event["event"]) == (2, "error")
    assert re.search(r"gradient of step [67] is not finite: lower .*learning_rate, which is 1e\+06", event["reason"])
    assert f"wmsd train --from {healthy}`" in event["reason"], "nothing was lost: it names where the run began"
    assert not (wild / "adapter").exists() and all("NaN" not in line for line in process.stdout.splitlines())
    write_run(calm, with_rate(LONG, 1e-5, start=healthy))
    assert finish(calm)[-1]["event"] == "finished" and intact(calm / "adapter")
    weights = load_file(calm / "adapter" / WEIGHTS)
    assert all(bool(weight.isfinite().all()) for weight in weights.values())


def test_a_run_that_diverges_at_once_is_begun_again_with_other_settings_or_from_its_checkpoint(tmp_path: Path) -> None:
    write_run(tmp_path / "one", with_rate(SHORT, 1e30))
    with pytest.raises(ValueError, match=r"step 2 is not finite.*these settings; it has no checkpoint yet$"):
        finish(tmp_path / "one")
    write_run(tmp_path / "one", with_rate(SHORT, 1e-4))
    assert finish(tmp_path / "one")[-1]["event"] == "finished"

    write_run(tmp_path / "two", with_rate(SHORT, 1e6, checkpoint_every=1))
    with pytest.raises(ValueError, match=r"is not finite") as told:
        finish(tmp_path / "two")
    named = [Path(path) for path in re.findall(r"from (/[^\s`,]+)", str(told.value))]
    assert named and all((path / "manifest.json").is_file() for path in named)
    assert str(told.value).endswith("without --from")
    with pytest.raises(ValueError, match=r"belongs to a run with other settings.*learning_rate"):
        write_run(tmp_path / "two", with_rate(SHORT, 1e-4, checkpoint_every=1))
        finish(tmp_path / "two")


def left_behind(run: Path) -> list[Path]:
    """What processes leave that are killed while they write a checkpoint, an adapter, the metrics."""
    folders = [
        Publication(run / "checkpoints" / "step-00000003").partial,
        Publication(run / "adapter").partial,
        Publication(run / "best").partial,
    ]
    for folder in folders:
        folder.mkdir(parents=True)
        (folder / "tensors").write_bytes(b"half")
    file = run / ".metrics.jsonl.00ff.partial"
    file.write_text("half")
    return [*folders, file]


def test_what_a_killed_process_left_is_cleared(tmp_path: Path) -> None:
    write_run(tmp_path, SHORT)
    left = left_behind(tmp_path)
    finish(tmp_path)
    assert not any(path.exists() for path in left)


def test_whatever_starts_in_a_workspace_clears_what_fills_its_disk_but_not_what_is_being_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Workspace(tmp_path)
    killed, alive = (left_behind(place.training / run) for run in ("killed", "alive"))
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(
        shutil,
        "disk_usage",
        lambda _: usage._replace(free=0 if killed[0].exists() else 2**30),  # pyright: ignore[reportUnknownLambdaType, reportUnknownArgumentType]
    )
    with process.alone(place.training / "alive", patience=0):
        place.prepare()
    assert not any(path.exists() for path in killed) and all(path.exists() for path in alive)
    place.prepare()
    assert not any(path.exists() for path in alive)


def test_a_full_disk_is_told_with_what_a_checkpoint_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    import torch

    monkeypatch.setattr("wmsd_core.training.checkpoint.save_file", full)
    with pytest.raises(ValueError, match=r"step 3 cannot be written.*No space left.*4 MiB.*are kept"):
        save(tmp_path, Checkpoint({"w": torch.zeros(2**20)}, {"step": 3}), {})
    assert list(tmp_path.iterdir()) == []


def test_room_for_checkpoints_is_looked_at_before_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_run(tmp_path, SHORT)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=10))  # pyright: ignore[reportUnknownLambdaType, reportUnknownArgumentType]
    with pytest.raises(ValueError, match=r"a checkpoint takes .* MiB .*free some space"):
        finish(tmp_path)
    assert not (tmp_path / "metrics.jsonl").exists()


class Broken:
    """A tracker of which everything fails."""

    def log(self, *_: Any) -> None:
        raise RuntimeError("502")

    video = log

    def close(self) -> None:
        raise RuntimeError("502")


def test_a_tracker_that_fails_is_told_and_training_goes_on(
    tmp_path: Path, long: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "track", lambda *_, **__: Broken())  # pyright: ignore[reportUnknownLambdaType, reportUnknownArgumentType]
    write_run(tmp_path, LONG)
    warnings = [event["reason"] for event in finish(tmp_path) if event["event"] == "warning"]
    assert sum("failed, and training goes on" in reason for reason in warnings) == 2
    assert intact(tmp_path / "adapter") == intact(long / "adapter")


def test_a_tracker_that_cannot_begin_is_told_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise ConnectionError("no route to host")

    monkeypatch.setattr(process, "track", unreachable)
    write_run(tmp_path, SHORT)
    events = finish(tmp_path)
    assert events[-1]["event"] == "finished"
    assert any("no route to host" in event.get("reason", "") for event in events)
