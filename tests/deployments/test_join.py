"""`wmsd train --join`: a machine lends itself to a run that another one leads."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from tasks import train
from wmsd_core.models import ModelsConfig
from wmsd_core.training.config import TrainConfig
from wmsd_core.training.launch import LaunchConfig

LAUNCH = LaunchConfig(nodes=2, processes=8, rendezvous="n1:29500")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    found = SimpleNamespace(path=tmp_path / "run", run_id="run", checksum="c0")
    monkeypatch.setattr(train, "planned_run", lambda *_: found)
    return found


def test_it_waits_for_the_folder_and_trains_in_it_as_the_leader_does(
    run: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched: list[list[str]] = []
    monkeypatch.setattr(train, "watch", lambda command, *_, **__: watched.append(command))
    monkeypatch.setattr(train.time, "sleep", lambda _: (run.path.mkdir(), (run.path / "examples.jsonl").touch()))
    assert train.join_run(tmp_path, TrainConfig(), ModelsConfig(), LAUNCH) == {"run": "run", "adapter": "c0"}
    assert watched == [train.launch.command(run.path, LAUNCH, tmp_path / "features")]


def test_a_run_of_one_machine_and_one_that_nobody_leads_are_told(
    run: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match=r"set launch\.nodes and launch\.rendezvous"):
        train.join_run(tmp_path, TrainConfig(), ModelsConfig(), LaunchConfig())
    monkeypatch.setattr(train, "LEADER_COMES", 0)
    monkeypatch.setattr(train.time, "sleep", lambda _: None)
    with pytest.raises(ValueError, match="nobody leads a run in"):
        train.join_run(tmp_path, TrainConfig(), ModelsConfig(), LAUNCH)
