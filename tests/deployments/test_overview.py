"""What `wmsd runs` and `wmsd status` read of a workspace."""

import json
from datetime import datetime
from pathlib import Path

from tests.deployments.test_cli import wmsd
from wmsd_core import store
from wmsd_core.workspace import Workspace


def test_stages_and_runs_are_listed_as_json(tmp_path: Path) -> None:
    stage = {"stage": "filter", "benchmark": "", "cache_key": "k", "code_version": "1", "config": "{}"}
    stage |= {"summary": '{"caution": "nothing is kept"}', "started": datetime(2026, 1, 2, 3, 4), "seconds": 2.5}
    run = {"run_id": "r", "config": '{"arm": "full"}', "config_hash": "h", "base": "b", "dataset": "d"}
    run |= {"folder": str(tmp_path / "training" / "r"), "status": "running", "adapter": ""}
    with store.writing(Workspace(tmp_path).store) as con:
        store.insert(con, "stage_runs", [stage])
        store.insert(con, "training_runs", [run])
        store.insert(con, "training_steps", [{"run_id": "r", "step": 7, "metric": "loss", "value": 1.0}])
    status = json.loads(wmsd("status", "-w", str(tmp_path), "--json", cwd=tmp_path).stdout)
    assert status[0]["started_utc"] == "2026-01-02 03:04" and status[0]["caution"] == "nothing is kept"
    runs = json.loads(wmsd("runs", "-w", str(tmp_path), "--json", cwd=tmp_path).stdout)
    assert runs[0]["arm"] == "full" and runs[0]["step"] == 7 and runs[0]["finished"] is False
    # The store is brought up to date some seconds later than the run's own file, whose last line is just being written.
    (tmp_path / "training" / "r").mkdir(parents=True)
    lines = [json.dumps({"step": step, "loss": 1.0}) for step in range(1, 10)]
    (tmp_path / "training" / "r" / "metrics.jsonl").write_text("\n".join(lines)[:-5])
    runs = json.loads(wmsd("runs", "-w", str(tmp_path), "--json", cwd=tmp_path).stdout)
    assert runs[0]["step"] == 8
