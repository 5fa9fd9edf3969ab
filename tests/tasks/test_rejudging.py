"""A new threshold for pictures that are measured is a query: it acts, is recorded, and wakes no Prefect."""

import json
import subprocess
import sys
from pathlib import Path

from tasks.bookkeeping import stage_run
from tasks.rejudging import rejudge
from tests.frames.pictures import LENIENT, SMALL, folder_of, left
from wmsd_core.filters import measure_frames
from wmsd_core.frames import FramesConfig, register
from wmsd_core.frames.dedup import DedupConfig
from wmsd_core.store import query, reading
from wmsd_core.workspace import Workspace


def test_a_new_threshold_acts_and_is_recorded_and_says_what_would_keep_one(tmp_path: Path) -> None:
    place = Workspace(tmp_path / "w").prepare()
    folder_of(tmp_path / "images", 3)
    register(place.store, tmp_path / "images", FramesConfig())
    assert rejudge(place.root, FramesConfig(), SMALL, LENIENT) is None  # they are to be measured first
    measure_frames(place.store, left(place.store, "frames"), SMALL)
    kept = rejudge(place.root, FramesConfig(), SMALL, LENIENT)
    assert kept and (kept["kept"], kept["measured"], kept["measured_before"]) == (3, 0, 3) and "caution" not in kept
    harsh = LENIENT.model_copy(update={"min_sharpness": 1e6})
    none = rejudge(place.root, FramesConfig(), SMALL, harsh)
    assert (
        none
        and none["kept"] == 0
        and "the nearest threshold that keeps one is filter.min_sharpness=" in none["caution"]
    )
    with reading(place.store) as con:
        assert [row["stage"] for row in query(con, "SELECT stage FROM stage_runs")] == ["filter"]


def test_it_tells_which_stages_had_other_frames(tmp_path: Path) -> None:
    place = Workspace(tmp_path / "w").prepare()
    folder_of(tmp_path / "images", 3)
    register(place.store, tmp_path / "images", FramesConfig())
    measure_frames(place.store, left(place.store, "frames"), SMALL)
    rejudge(place.root, FramesConfig(), SMALL, LENIENT)
    with stage_run(place.root, "dedup", {"dedup": DedupConfig()}) as summary:
        pass
    assert summary == {}
    assert "outdated" not in (rejudge(place.root, FramesConfig(), SMALL, LENIENT) or {})
    none = rejudge(place.root, FramesConfig(), SMALL, LENIENT.model_copy(update={"min_sharpness": 1e6}))
    assert none and none["outdated"].startswith("dedup had other frames")


def test_it_wakes_no_prefect() -> None:
    program = "import sys, tasks.rejudging; sys.exit('prefect' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0


def test_a_command_whose_stage_leaves_nothing_ends_as_a_mistake_after_its_table(tmp_path: Path) -> None:
    place = Workspace(tmp_path / "w").prepare()
    folder_of(tmp_path / "images", 3)
    register(place.store, tmp_path / "images", FramesConfig())
    settings = ["--set", "measure.working_width=64", "--set", "filter.min_side=16"]
    measure_frames(place.store, left(place.store, "frames"), SMALL)
    command = [sys.executable, "-m", "deployments.cli", "filter", "--workspace", str(place.root), "--json", *settings]
    kept, none = (
        subprocess.run([*command, "--set", f"filter.min_sharpness={least}"], capture_output=True, text=True)
        for least in (0, 1e6)
    )
    assert (kept.returncode, json.loads(kept.stdout)["kept"]) == (0, 3), kept.stderr
    assert none.returncode == 2 and "the nearest threshold" in json.loads(none.stdout)["caution"], none.stderr
