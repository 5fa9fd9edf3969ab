"""What is exported loads elsewhere, is complete or absent, and comes back the same to the byte."""

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import duckdb
import numpy as np
import pytest
from PIL import Image

from tests.frames.pictures import FramesConfig, encode, registered, scene
from tests.reference import REFERENCE
from tests.worldtasks.scripted import ScriptedVLM, good_answer
from wmsd_core.publication import publishing, verify
from wmsd_core.store import query, reading, writing
from wmsd_core.worldtasks import GenerateConfig, SplitConfig, assign_splits, figures, generate_pairs, label_tasks
from wmsd_core.worldtasks.card import markdown
from wmsd_core.worldtasks.export import ExportConfig, Exported, export
from wmsd_core.worldtasks.importing import import_folder
from wmsd_core.worldtasks.layout import ImportConfig

HALF = SplitConfig(bench_fraction=0.5)
ALL = ExportConfig(formats=("parquet", "jsonl", "duckdb", "worldtasks"), rows_per_file=7)


@pytest.fixture(scope="module")
def drawn() -> dict[str, bytes]:
    """Pictures of cards by what they show."""
    return {}


@pytest.fixture(autouse=True)
def _equal_pictures_are_drawn_once(drawn: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    """To draw a card's pictures is most of a small export, and nearly all exports here have the same pairs."""

    def once(draw: Callable[..., None]) -> Callable[..., None]:
        def drawing(path: Path, *shown: object) -> None:
            if (known := f"{draw.__name__}{shown}") not in drawn:
                draw(path, *shown)
                drawn[known] = path.read_bytes()
            path.write_bytes(drawn[known])

        return drawing

    for draw in (figures.taxonomy, figures.lengths):
        monkeypatch.setattr(figures, draw.__name__, once(draw))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve frames of two pairs each, divided."""
    folder = tmp_path_factory.mktemp("made")
    store, ids = registered(folder, 12)
    generate_pairs(store, ids, ScriptedVLM(lambda call: good_answer(2)), GenerateConfig(count=2))
    label_tasks(store)
    assign_splits(store, HALF)
    return folder


@pytest.fixture
def store(made: Path, tmp_path: Path) -> Path:
    """A copy of it in `tmp_path`, to be changed at will."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    with writing(tmp_path / "store.duckdb") as con:
        con.execute("UPDATE frames SET path = replace(path, ?, ?)", [str(made), str(tmp_path)])
    return tmp_path / "store.duckdb"


def written(store: Path, out: Path, config: ExportConfig = ALL) -> Exported:
    return export(store, out, config, HALF)


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def records(file: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def test_each_format_holds_the_pairs_of_the_store(store: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    found = written(store, out)
    with reading(store) as con:
        sql = "SELECT pair_id, frame_id, task, solution, split FROM task_pairs JOIN splits USING (frame_id) ORDER BY 1"
        expected = [tuple(row.values()) for row in query(con, sql)]
    assert found.train + found.bench == len(expected) == 24 and found.train and found.bench
    lines = records(out / "data" / "train.jsonl") + records(out / "data" / "bench.jsonl")
    assert {line["schema"] for line in lines} == {"worldtask/1"}
    assert sorted((r["id"], r["image"]["sha256"], r["prompt"], r["solution"], r["split"]) for r in lines) == expected  # type: ignore
    for record in lines:
        assert f"[{record['agent']}]: {record['task']}" == record["prompt"]
        picture = out / record["image"]["path"]  # type: ignore
        assert hashlib.sha256(picture.read_bytes()).hexdigest() == record["image"]["sha256"]  # type: ignore
    flat = records(out / "train" / "train.jsonl") + records(out / "bench" / "bench.jsonl")
    assert sorted((r["id"], r["sha256"], r["task"], r["solution"], r["split"]) for r in flat) == expected
    assert all((out / str(r["split"]) / str(r["image"])).is_file() for r in flat)
    with duckdb.connect(str(out / "worldtasks.duckdb"), read_only=True) as con:
        assert con.execute("SELECT id, sha256, prompt, solution, split FROM pairs ORDER BY 1").fetchall() == expected
    parts = sorted((out / "data").glob("train-*.parquet"))
    assert len(parts) == -(-found.train // 7) and parts[-1].name.endswith(f"-of-{len(parts):05d}.parquet")
    assert verify(out) == []


def test_pairs_that_were_turned_down_are_not_delivered_and_their_numbers_are(store: Path, tmp_path: Path) -> None:
    with writing(store) as con:
        turn_down = "INSERT INTO rejections SELECT 'generate', pair_id, ?, '', '', '' FROM task_pairs WHERE"
        con.execute(f"{turn_down} position = 0", ["agent_absent"])
        con.execute(f"{turn_down} frame_id = (SELECT min(frame_id) FROM frames) AND position = 1", ["over_quota"])
    found = written(store, tmp_path / "out")
    assert (found.train + found.bench, found.frames) == (11, 11)
    with reading(store) as con:
        usable = {row["pair_id"] for row in query(con, "SELECT pair_id FROM usable_pairs")}
    lines = [line for split in ("train", "bench") for line in records(tmp_path / "out" / "data" / f"{split}.jsonl")]
    assert {str(line["id"]) for line in lines} == usable
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert re.search(r"turned down: 12 agent.?.absent, 1 over.?.quota\b", card), card
    with writing(store) as con:  # a stricter filter since: what was turned down of frames that are gone counts nowhere
        con.execute("INSERT INTO rejections SELECT 'filter', max(frame_id), 'dark', '', '', '' FROM frames")
    written(store, tmp_path / "out")
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert re.search(r"turned down: 11 agent.?.absent, 1 over.?.quota\b", card), card


@pytest.mark.parametrize("form", ["parquet", "jsonl", "worldtasks"])
def test_the_datasets_library_finds_splits_and_pictures(store: Path, tmp_path: Path, form: str) -> None:
    datasets = pytest.importorskip("datasets")
    out = tmp_path / "out"
    found = written(store, out, ExportConfig.model_validate({"formats": (form,)}))
    loaded = datasets.load_dataset(str(out), cache_dir=str(tmp_path / "cache"))
    assert {name: len(rows) for name, rows in loaded.items()} == {"train": found.train, "bench": found.bench}
    # The lines of the card's section "Loading".
    code = (out / "README.md").read_text().split("```python\n")[1].split("```")[0]
    names: dict[str, object] = {}
    exec(code.replace("path/to/this/folder", str(out)), names)
    picture = names["pairs"][0]["picture"]  # type: ignore
    assert picture.size == (64, 48)
    assert np.array_equal(np.asarray(picture), np.asarray(Image.open(picture.filename)))


@pytest.mark.parametrize("form", ["parquet", "jsonl", "worldtasks"])
def test_the_datasets_library_does_not_take_an_earlier_export_for_this_one(
    store: Path, tmp_path: Path, form: str
) -> None:
    datasets = pytest.importorskip("datasets")
    out, config = tmp_path / "out", ExportConfig.model_validate({"formats": (form,)})

    def loaded() -> list[str]:
        splits = datasets.load_dataset(str(out), cache_dir=str(tmp_path / "cache")).values()
        return sorted(id for split in splits for id in split["id"])

    def caches() -> int:
        return len(list((tmp_path / "cache").rglob("dataset_info.json")))

    written(store, out, config)
    before = loaded()
    written(store, out, config)
    assert loaded() == before and caches() == 1  # an equal one is not read again
    with writing(store) as con:
        con.execute("DELETE FROM task_pairs WHERE frame_id = (SELECT min(frame_id) FROM task_pairs)")
    written(store, out, config)
    with reading(store) as con:
        assert loaded() == sorted(row["pair_id"] for row in query(con, "SELECT pair_id FROM task_pairs"))
    assert len(before) == len(loaded()) + 2 and caches() == 2
    shutil.rmtree(out)
    with writing(store) as con:
        con.execute("UPDATE task_pairs SET solution = solution || ' Slowly.'")
    written(store, out, config)
    assert loaded() and caches() == 3


def test_what_was_exported_comes_back_the_same(store: Path, tmp_path: Path) -> None:
    with writing(store) as con:
        con.execute(
            "UPDATE frames SET licence = 'CC-BY-4.0', source = '/home/someone/games', video = '/v/a.mp4', moment = 1.5"
        )
    out, again, other = tmp_path / "out", tmp_path / "again", tmp_path / "other.duckdb"
    written(store, out)
    assert "/home/someone" not in (out / "data" / "train.jsonl").read_text() + (out / "README.md").read_text()
    found = import_folder(other, out, ImportConfig(), FramesConfig())
    assert (found.frames, found.pairs, found.known, found.skipped) == (12, 24, 0, {})
    written(other, again)
    first, second = tree(out), tree(again)
    differing = {name for name in first.keys() | second.keys() if first.get(name) != second.get(name)}
    assert differing <= {"manifest.json", "README.md", "card.html", "worldtasks.duckdb"}
    repeated = import_folder(other, again, ImportConfig(), FramesConfig())
    assert (repeated.frames, repeated.pairs, repeated.known) == (0, 0, 24)


def test_an_imported_benchmark_is_not_divided_again(store: Path, tmp_path: Path) -> None:
    out, other = tmp_path / "out", tmp_path / "other.duckdb"
    found = written(store, out)
    import_folder(other, out, ImportConfig(), FramesConfig())
    assert assign_splits(other, SplitConfig(bench_fraction=0)).examined == found.bench


def test_incomplete_entries_are_skipped_and_counted(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    (folder / "train" / "images" / "shard_000").mkdir(parents=True)
    (folder / "bench" / "images").mkdir(parents=True)
    (folder / "train" / "images" / "shard_000" / "a.png").write_bytes(encode(scene(1)))
    (folder / "bench" / "images" / "b.png").write_bytes(encode(scene(2)))
    (folder / "bench" / "images" / "copy.png").write_bytes(encode(scene(1)))
    (folder / "train" / "images" / "torn.png").write_bytes(b"no picture")
    (tmp_path / "secret.png").write_bytes(encode(scene(3)))
    good = {"image": "a.png", "task": "[Man]: Go to the door.", "solution": "He turns and walks to the door."}
    train = [
        json.dumps(good),
        json.dumps(good),
        json.dumps({**good, "task": "", "instruction": None}),
        json.dumps({**good, "task": "Go to the door."}),
        json.dumps({**good, "solution": " "}),
        json.dumps({**good, "image": "missing.png"}),
        json.dumps({**good, "image": "torn.png"}),
        json.dumps({**good, "image": "../../secret.png"}),
        json.dumps({"task": good["task"]}),
        '{"image": "a.png", ',
        "[1, 2]",
        "",
        json.dumps(
            {"image": "a.png", "tasks": ["[Dog]: Sit.", "[Cat]: Jump."], "solutions": ["The dog sits.", "It jumps."]}
        ),
        json.dumps(
            {
                "image": "a.png",
                "pairs": [{"task": "[Car]: Stop.", "solution": "The car brakes."}, {"task": "[Car]: Go."}],
            }
        ),
    ]
    (folder / "train" / "train.jsonl").write_text("\n".join(train))
    bench = [json.dumps({**good, "image": "b.png"}), json.dumps({**good, "image": "copy.png"})]
    (folder / "bench" / "bench.jsonl").write_text("\n".join(bench))
    store = tmp_path / "store.duckdb"
    found = import_folder(store, folder, ImportConfig(), FramesConfig())
    assert (found.frames, found.train, found.bench, found.known) == (2, 4, 1, 1)
    assert found.skipped == {
        "no_task": 1,
        "form": 1,
        "no_solution": 2,
        "no_image": 2,
        "unusable_image": 1,
        "outside": 1,
        "not_json": 2,
        "other_split": 1,
    }
    with reading(store) as con:
        rows = query(con, "SELECT item, reason FROM rejections WHERE stage = 'generate' AND reason = 'form'")
        assert [row["item"] for row in rows] == [f"{folder / 'train' / 'train.jsonl'}:4"]
        assert query(con, "SELECT task FROM task_pairs WHERE task LIKE '[Cat]%'") == [{"task": "[Cat]: Jump."}]
    assert import_folder(store, folder, ImportConfig(), FramesConfig()).skipped == found.skipped


@pytest.mark.skipif(not REFERENCE.is_dir(), reason="the paper's samples are not here")
def test_the_papers_samples_are_imported(tmp_path: Path) -> None:
    samples = json.loads((REFERENCE / "worldtasks_samples.json").read_text())["dataset_samples"]
    (tmp_path / "set" / "train").mkdir(parents=True)
    (tmp_path / "set" / "frames").symlink_to(REFERENCE / "frames")
    outside = import_lines(tmp_path, samples)
    assert outside == {"outside": len(samples)}  # a link out of the folder is not followed
    (tmp_path / "set" / "frames").unlink()
    (tmp_path / "set" / "frames").mkdir()
    for sample in samples:
        (tmp_path / "set" / sample["frame"]).write_bytes((REFERENCE / sample["frame"]).read_bytes())
    assert import_lines(tmp_path, samples) == {}
    assert written(tmp_path / "store.duckdb", tmp_path / "out").train == 8


def import_lines(tmp_path: Path, lines: list[dict[str, object]]) -> dict[str, int]:
    (tmp_path / "set" / "train" / "train.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    return import_folder(tmp_path / "store.duckdb", tmp_path / "set", ImportConfig(), FramesConfig()).skipped


def test_a_leaking_set_is_not_written(store: Path, tmp_path: Path) -> None:
    with writing(store) as con:
        sql = "SELECT frame_id, levels FROM signatures JOIN splits USING (frame_id) WHERE split = 'bench' ORDER BY 1 LIMIT 1"
        (levels,) = (row["levels"] for row in query(con, sql))
        sql = (
            "UPDATE signatures SET levels = ? WHERE frame_id = (SELECT min(frame_id) FROM splits WHERE split = 'train')"
        )
        con.execute(sql, [levels])
    with pytest.raises(ValueError, match="nothing was exported: train and bench are not apart: 1 of kind picture"):
        written(store, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with reading(store) as con:
        before = query(con, "SELECT * FROM splits ORDER BY ALL")
        (victim,) = query(con, "SELECT min(frame_id) AS id FROM splits WHERE split = 'train'")
    found = written(store, tmp_path / "out", ALL.model_copy(update={"leaks": "drop"}))
    assert (found.dropped, found.frames) == (1, len(before) - 1)
    with reading(store) as con:
        (row,) = query(con, "SELECT item, reason, detail FROM rejections WHERE stage = 'split'")
        assert query(con, "SELECT * FROM splits ORDER BY ALL") == before
    assert (row["item"], row["reason"]) == (victim["id"], "leak")
    assert str(row["detail"]).startswith("picture of the benchmark's ")
    assert written(store, tmp_path / "out").dropped == 0  # it is apart now
    assert assign_splits(store, HALF).withheld == 0
    assign_splits(store, HALF.model_copy(update={"seed": 5}))  # a division of its own judges the frame afresh
    with reading(store) as con:
        assert query(con, "SELECT * FROM rejections WHERE stage = 'split'") == []


def test_pictures_that_are_gone_or_changed_are_left_out_with_their_pairs(store: Path, tmp_path: Path) -> None:
    images = sorted((tmp_path / "images").iterdir())
    images[0].unlink()
    images[1].write_bytes(encode(scene(99)))
    found = written(store, tmp_path / "out")
    assert found.left_out == {"unreadable": 1, "changed": 1}
    assert (found.frames, found.train + found.bench) == (10, 20)
    assert len(list((tmp_path / "out").glob("*/images/*/*.png"))) == 10
    assert (
        "2 images" in (tmp_path / "out" / "README.md").read_text()
        or "1 changed" in (tmp_path / "out" / "README.md").read_text()
    )


def test_an_export_without_a_picture_that_can_be_read_is_none(store: Path, tmp_path: Path) -> None:
    written(store, tmp_path / "out")
    card = (tmp_path / "out" / "README.md").read_text()
    (tmp_path / "images").rename(tmp_path / "elsewhere")
    told = r"nothing was exported: no picture can be read \(12 unreadable\)\. If they were moved"
    with pytest.raises(ValueError, match=told):
        written(store, tmp_path / "out")
    assert (tmp_path / "out" / "README.md").read_text() == card


def test_pictures_are_copied_linked_or_referred_to(store: Path, tmp_path: Path) -> None:
    linked = tmp_path / "linked"
    written(store, linked, ExportConfig(formats=("jsonl",), images="link"))
    picture = next(linked.glob("*/images/*/*.png"))
    assert picture.stat().st_nlink == 2
    referred = tmp_path / "referred"
    written(store, referred, ExportConfig(formats=("jsonl", "worldtasks"), images="reference"))
    assert not list(referred.glob("*/images"))
    assert Path(records(referred / "data" / "train.jsonl")[0]["image"]["path"]).is_file()  # type: ignore
    assert Path(str(records(referred / "train" / "train.jsonl")[0]["image"])).is_file()


def test_another_export_is_replaced_and_nothing_else_is(store: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    written(store, out)
    written(store, out, ExportConfig(formats=("jsonl",)))
    assert not list(out.rglob("*.parquet")) and verify(out) == []
    (out / "notes.txt").write_text("mine")
    before = tree(out)
    with pytest.raises(ValueError, match=r"holds files that no export wrote, such as notes\.txt"):
        written(store, out)
    assert tree(out) == before
    assert verify(out) == ["notes.txt is not listed in manifest.json"]
    (out / "notes.txt").unlink()
    (out / "README.md").write_text("other")
    assert verify(out) == ["README.md has other content than its checksum says"]
    with pytest.raises(ValueError, match="is a file; give the name of a folder"):
        written(store, store)


def test_a_failure_leaves_the_earlier_export_and_a_kill_too(store: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    written(store, out)
    before = tree(out)
    with (
        pytest.raises(ValueError, match=r"cannot write .*out: full\. What was there before is kept"),
        publishing(out) as folder,
    ):
        (folder / "half").write_text("half")
        raise OSError("full")
    assert tree(out) == before and not list(tmp_path.glob(".out*"))
    code = """
        import sys, time
        from pathlib import Path
        from wmsd_core.publication import publishing
        with publishing(Path(sys.argv[1])) as folder:
            (folder / "half").write_text("half")
            print("ready", flush=True)
            time.sleep(60)
    """
    lines = "\n".join(line[8:] for line in code.splitlines())
    process = subprocess.Popen(
        [sys.executable, "-c", lines, str(out)], stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
    )
    assert process.stdout and process.stdout.readline() == b"ready\n"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    workshop = tmp_path / ".out.wmsd-export"
    assert tree(out) == before and (workshop / "new" / "half").is_file()
    out.rename(workshop / "old")  # a kill between the two renames
    with pytest.raises(ValueError, match="cannot write"), publishing(out):
        raise OSError("full")
    assert tree(out) == before and not workshop.exists()
    written(store, out)
    assert not workshop.exists() and verify(out) == []


def test_a_link_to_an_export_stays_a_link(store: Path, tmp_path: Path) -> None:
    link, disk = tmp_path / "link", tmp_path / "disk"
    disk.mkdir()
    link.symlink_to(disk)
    beside = sorted(tmp_path.iterdir())
    for _ in range(2):
        written(store, link)
        assert link.is_symlink() and verify(disk) == [] and sorted(tmp_path.iterdir()) == beside
    for target, reason in (("nowhere", "is a link to .*nowhere, which is not there"), ("store.duckdb", "is a file")):
        link.unlink()
        link.symlink_to(tmp_path / target)
        with pytest.raises(ValueError, match=reason):
            written(store, link)
    link.unlink()
    link.symlink_to(tmp_path / "images")
    with pytest.raises(ValueError, match="holds files that no export wrote"):
        written(store, link)


@pytest.mark.parametrize("name", ["o[1]", "it's", "a*{b}", "50%20", "-f", "a\nb", "ä𝕏"])
def test_a_folder_can_have_any_name(store: Path, tmp_path: Path, name: str) -> None:
    beside = {path.name for path in tmp_path.iterdir()}
    for _ in range(2):
        written(store, tmp_path / name)
    assert verify(tmp_path / name) == [] and {path.name for path in tmp_path.iterdir()} == beside | {name}


def test_what_lies_beside_an_export_is_left_alone(store: Path, tmp_path: Path) -> None:
    names = (".o2.note.partial", ".o2.previous", ".o2.99999999.partial", ".o2.partial")
    for name in names:
        (tmp_path / name).write_text("mine")
    (tmp_path / ".o2.1.partial").mkdir()
    (tmp_path / ".o2.1.partial" / "mine").write_text("mine")
    for _ in range(2):
        written(store, tmp_path / "o2")
    assert all((tmp_path / name).read_text() == "mine" for name in (*names, ".o2.1.partial/mine"))
    (tmp_path / ".o2.wmsd-export").mkdir()
    (tmp_path / ".o2.wmsd-export" / "mine").write_text("mine")
    with pytest.raises(ValueError, match="holds mine, which no export wrote; move it away"):
        written(store, tmp_path / "o2")
    (tmp_path / ".o3.wmsd-export").symlink_to(tmp_path / "images")
    with pytest.raises(ValueError, match="is in the way; move it away"):
        written(store, tmp_path / "o3")
    assert (tmp_path / ".o2.wmsd-export" / "mine").read_text() == "mine"


@pytest.mark.parametrize("manifest", ["{}", "[]", '{"form": "wmsd-export/1", "files": {"mine": 3}}', "no json"])
def test_a_manifest_of_somebody_elses_makes_no_export(store: Path, tmp_path: Path, manifest: str) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "manifest.json").write_text(manifest)
    (out / "mine").write_text("mine")
    with pytest.raises(ValueError, match="holds files that no export wrote"):
        written(store, out)
    with pytest.raises(ValueError, match="holds no export"):
        verify(out)


def test_what_was_changed_or_added_in_an_export_is_not_overwritten(store: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    written(store, out, ExportConfig(formats=("jsonl",)))
    card = (out / "README.md").read_text()
    (out / "README.md").write_text(card + "Thanks to everybody.")
    with pytest.raises(ValueError, match=r"such as README\.md; they would be lost"):
        written(store, out)
    (out / "README.md").write_text(card)
    for name, make in (
        ("link", lambda path: path.symlink_to(tmp_path / "images")),
        ("empty", lambda path: path.mkdir()),
    ):
        make(out / name)
        with pytest.raises(ValueError, match=f"such as {name}; they would be lost"):
            written(store, out)
        (out / "link").unlink() if name == "link" else (out / "empty").rmdir()
    with pytest.raises(ValueError, match="such as note; they would be lost"), publishing(out):
        (out / "note").write_text("put there while the export ran")
    assert (out / "README.md").read_text() == card


def test_a_place_that_cannot_be_replaced_is_refused_before_any_work(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for out, reason in (
        (Path(), "you are in"),
        (Path(".."), "you are in"),
        (Path("/"), "is a disk of its own"),
        (tmp_path / "a?b", "question mark"),
        (tmp_path / "store.duckdb" / "out", "cannot write"),
        (tmp_path / ("n" * 300), "File name too long"),
    ):
        with pytest.raises(ValueError, match=reason):
            written(store, out)
    written(store, Path("relative/"))
    assert verify(tmp_path / "here" / "relative") == []


def test_one_process_at_a_time_writes_an_export(tmp_path: Path) -> None:
    with publishing(tmp_path / "out") as folder:
        with pytest.raises(ValueError, match="another process is writing an export"), publishing(tmp_path / "out"):
            pass
        (folder / "whole").write_text("whole")
    assert (tmp_path / "out" / "whole").is_file()


def test_a_disk_that_is_too_full_is_noticed_before(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(100, 95, 5))  # pyright: ignore
    with pytest.raises(ValueError, match=r"needs about .* MiB and the disk of .* has 0"):
        written(store, tmp_path / "out")
    assert not list(tmp_path.glob("*out*"))


def test_without_pairs_it_says_what_to_run(tmp_path: Path) -> None:
    store, _ = registered(tmp_path, 2)
    with pytest.raises(ValueError, match="run `wmsd generate` first"):
        written(store, tmp_path / "out")


def test_a_models_words_cannot_change_the_card(store: Path, tmp_path: Path) -> None:
    evil = "<script>alert(1)</script> [x](http://evil) | a\n# b"
    with writing(store) as con:
        con.execute("UPDATE task_pairs SET task = '[Man]: ' || ?, model = ?", [evil, evil])
    written(store, tmp_path / "out")
    page = (tmp_path / "out" / "card.html").read_text()
    assert "<script" not in page and 'href="http' not in page and "<h1>b" not in page
    assert "alert(1)" in page
    assert markdown("a_b *c*\n# d") == "a\\_b \\*c\\* \\# d"


def test_a_folder_of_another_layout_says_what_it_has(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "train_filtered.jsonl").write_text("")
    with pytest.raises(ValueError, match=r"it has train/train_filtered\.jsonl: name the file of each split"):
        import_folder(tmp_path / "s.duckdb", tmp_path, ImportConfig(), FramesConfig())
