"""Two kills at moments that nobody chose; `python -m tests.studies.kill` does as many as you like."""

import time
from pathlib import Path

import pytest

from tests.studies.kill import trial


def test_a_study_killed_outright_ends_as_one_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "prefect"))
    assert trial(tmp_path / "workspace", kills=2, seed=time.time_ns()) == []
