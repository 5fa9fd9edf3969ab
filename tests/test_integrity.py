"""What `wmsd verify` finds in a workspace, and what is true after it was mended."""

import shutil
from pathlib import Path

import pytest

from tests.frames.pictures import encode, scene
from tests.training.test_process import CONFIG, finish
from tests.training.toy import write_run
from wmsd_core import store
from wmsd_core.frames import FramesConfig, register
from wmsd_core.integrity import verify
from wmsd_core.store.funnel import survivors
from wmsd_core.training.deliveries import intact
from wmsd_core.workspace import Workspace


@pytest.fixture
def place(tmp_path: Path) -> Workspace:
    place = Workspace(tmp_path / "w").prepare()
    place.frames.mkdir()
    for seed in range(4):
        (place.frames / f"{seed}.png").write_bytes(encode(scene(seed)))
    register(place.store, place.frames, FramesConfig())
    run = place.training / "run"
    write_run(run, CONFIG.model_copy(update={"steps": 4, "checkpoint_every": 2}))
    finish(run)
    with store.writing(place.store) as con:
        row = {"run_id": "run", "config": "{}", "config_hash": "", "base": "", "dataset": "", "folder": str(run)}
        store.insert(con, "training_runs", [row | {"status": "finished", "adapter": intact(run / "adapter")}])
    return place


def test_a_whole_workspace_has_no_faults(place: Workspace) -> None:
    assert verify(place) == []


def test_everything_that_is_wrong_is_told_and_mended(place: Workspace) -> None:
    (place.frames / "0.png").unlink()
    (place.frames / "1.png").write_bytes(encode(scene(9)))
    run = place.training / "run"
    (run / "adapter" / "adapter_model.safetensors").write_bytes(b"x")
    (run / "checkpoints" / "step-00000004" / "state.json").write_text("{}")
    (run / "checkpoints" / ".step-00000006.partial").mkdir()
    (run / ".metrics.jsonl.00ff.partial").touch()
    place.requests.write_bytes(b"no database, but long enough to look like one" * 100)
    with store.writing(place.store) as con:
        video = {"video_id": "v", "item_id": "p", "arm": "base", "model": "m", "adapter": "", "seed": 0, "sampler": "s"}
        store.insert(con, "videos", [video | {"path": str(place.videos / "v.png"), "sha256": "x"}])
    kinds = ["picture", "picture", "video", "adapter", "checkpoint", "leftover", "leftover", "request log"]
    assert [fault.what for fault in verify(place)] == kinds
    assert [fault.what for fault in verify(place, mend=True)] == kinds
    assert [fault.what for fault in verify(place)] == ["video"]  # the next evaluation makes it
    with store.reading(place.store) as con:
        assert len(survivors(con, "frames")) == 2
        assert con.execute("SELECT status FROM training_runs").fetchall() == [("running",)]


def test_a_folder_of_pictures_that_moved_is_re_pointed(tmp_path: Path) -> None:
    place, outside = Workspace(tmp_path / "w").prepare(), tmp_path / "pictures"
    outside.mkdir()
    (outside / "a.png").write_bytes(encode(scene(1)))
    register(place.store, outside, FramesConfig())
    shutil.move(outside, tmp_path / "moved")
    assert [fault.what for fault in verify(place)] == ["picture"]
    assert verify(place, moved=(outside.resolve(), (tmp_path / "moved").resolve())) == []


def test_a_workspace_that_was_moved_or_copied_is_whole(place: Workspace, tmp_path: Path) -> None:
    shutil.copytree(place.root, tmp_path / "copy")
    shutil.move(place.root, tmp_path / "moved")
    for name in ("copy", "moved"):
        there = Workspace(tmp_path / name)
        with store.writing(there.store):  # as any command does first
            pass
        assert verify(there) == []
        with store.reading(there.store) as con:
            assert con.execute("SELECT count(*) FROM frames WHERE contains(path, ?)", [f"/{name}/"]).fetchall() == [
                (4,)
            ]


def test_an_older_store_put_back_is_whole_and_what_came_since_is_found_again(place: Workspace) -> None:
    backup = place.store.read_bytes()
    (place.frames / "new.png").write_bytes(encode(scene(7)))
    assert register(place.store, place.frames, FramesConfig()).new == 1
    place.store.write_bytes(backup)
    assert verify(place) == []
    assert register(place.store, place.frames, FramesConfig()).new == 1


@pytest.mark.parametrize("name", ["training.json", "peft/adapter_model.safetensors", "manifest.json"])
def test_an_adapter_is_whole_only_with_all_of_its_files(place: Workspace, name: str) -> None:
    path = place.training / "run" / "adapter" / name
    path.write_bytes(path.read_bytes()[:-20])
    assert [fault.what for fault in verify(place, mend=True)] == ["adapter"]
    finish(place.training / "run")
    assert intact(place.training / "run" / "adapter")
