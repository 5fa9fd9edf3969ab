"""Two kills at moments that nobody chose; `python -m tests.flows.kill` does as many as you like."""

import time
from pathlib import Path

import pytest

from tests.flows.kill import trial


@pytest.mark.usefixtures("prefect_home")
def test_a_pipeline_killed_outright_ends_as_one_left_alone(tmp_path: Path) -> None:
    assert trial(tmp_path / "workspace", kills=2, seed=time.time_ns()) == []
