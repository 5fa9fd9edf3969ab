"""Two kills at moments that nobody chose; `python -m tests.studies.kill` does as many as you like."""

import signal
import time
from pathlib import Path

import psutil
import pytest

from tests.flows.kill import finish, start
from tests.studies.kill import content, trial, write
from wmsd_core.store import query, reading
from wmsd_core.workspace import Workspace


@pytest.mark.usefixtures("prefect_home")
def test_a_study_killed_outright_ends_as_one_left_alone(tmp_path: Path) -> None:
    assert trial(tmp_path / "workspace", kills=2, seed=time.time_ns()) == []
    file = tmp_path / "alone" / "small.yaml"
    known = content(file)
    samplers = {line["arm"]: line["sampler"] for line in known if line["kind"] == "measurement"}
    assert samplers == {"demonstrator": "euler/2", "full": "euler/2", "anchor": "euler/3"}, "an arm may have its own"
    finish(tmp_path / "elsewhere", "study", str(file))
    assert content(file) == known and not Workspace(tmp_path / "elsewhere").training.exists(), "all of it was there"


@pytest.mark.usefixtures("prefect_home")
def test_a_study_that_is_told_to_stop_ends_its_trainings_with_a_checkpoint_and_begins_no_other(tmp_path: Path) -> None:
    """Each is watched in a thread, which no signal reaches; the other run waits for its turn. The dataset is made by it."""
    root, runs = tmp_path / "workspace", Workspace(tmp_path / "workspace").training
    process = start(root, "study", str(write(tmp_path / "study" / "long.yaml", steps=500)), "--at-once", "1")
    while not list(runs.glob("*/checkpoints/step-*")):
        assert process.poll() is None, root.with_suffix(".log").read_text()
        time.sleep(0.1)
    below = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    assert not psutil.wait_procs(below, timeout=10)[1]
    assert "the same command goes on from there" in root.with_suffix(".log").read_text()
    assert len(list(runs.iterdir())) == 1, "another run was begun"
    with reading(Workspace(root).store) as con:
        assert query(con, "SELECT DISTINCT model FROM screenings") == [{"model": "miniature-vlm/2/errors=0.5"}]
