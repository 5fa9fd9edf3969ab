"""Export and import through their flows: what a person gets from the command line and the form."""

import json
from pathlib import Path

import pytest

from flows.export import check_export, export, import_
from tests.frames.pictures import registered
from tests.worldtasks.scripted import ScriptedVLM, good_answer
from wmsd_core.store import query, reading, writing
from wmsd_core.workspace import Workspace
from wmsd_core.worldtasks import GenerateConfig, SplitConfig, assign_splits, generate_pairs, label_tasks
from wmsd_core.worldtasks.export import ExportConfig
from wmsd_core.worldtasks.tags import take_in

pytestmark = pytest.mark.usefixtures("server")

HALF = SplitConfig(bench_fraction=0.5)


def test_a_set_goes_out_and_comes_in_elsewhere(tmp_path: Path) -> None:
    store, ids = registered(tmp_path / "here", 8)
    generate_pairs(store, ids, ScriptedVLM(lambda call: good_answer(2)), GenerateConfig(count=2))
    label_tasks(store)
    assign_splits(store, HALF)
    here, there = Workspace(tmp_path / "here").prepare(), Workspace(tmp_path / "there").prepare()
    store.rename(here.store)
    assert check_export(here.root, HALF) == {"leaks": 0}
    written = export(here.root, tmp_path / "out", ExportConfig(formats=("worldtasks",)), HALF)
    assert written["train"] + written["bench"] == 16 and "caution" not in written
    taken = import_(there.root, tmp_path / "out", splitting=HALF)
    assert (taken["train"], taken["bench"], taken["skipped"]) == (written["train"], written["bench"], {})
    assert "caution" not in taken
    with reading(there.store) as con:
        assert {row["stage"] for row in query(con, "SELECT stage FROM stage_runs")} == {"import"}
    with writing(there.store) as con:  # two frames of the two splits that look the same
        con.execute("UPDATE signatures SET levels = (SELECT levels FROM signatures ORDER BY frame_id LIMIT 1)")
    assert "of kind picture" in import_(there.root, tmp_path / "out", splitting=HALF)["caution"]
    with pytest.raises(ValueError, match="train and bench are not apart"):
        check_export(there.root, HALF)
    (tmp_path / "tags.jsonl").write_text(json.dumps({"item": ids[0], "kind": "frame", "tag": "drop", "note": ""}))
    take_in(here.store, tmp_path / "tags.jsonl")
    again = export(here.root, tmp_path / "out", ExportConfig(formats=("worldtasks",)), HALF)
    assert "tags on 3 frames and pairs wait for the next wmsd generate" in again["caution"]
