from pathlib import Path

import pytest

from tasks.recordings import plan_run, refuse_other_run
from wmsd_core.models import ModelsConfig
from wmsd_core.training.config import TrainConfig


def test_a_run_json_of_something_else_is_kept(tmp_path: Path) -> None:
    refuse_other_run(tmp_path)
    plan_run(tmp_path, TrainConfig(), ModelsConfig())
    refuse_other_run(tmp_path)  # its own it writes anew
    (tmp_path / "run.json").write_text('{"evaluation_id": "0"}')
    with pytest.raises(ValueError, match=r"run\.json was written by something else, and would be lost"):
        refuse_other_run(tmp_path)
