"""Entries from any source: registered in batches, whatever lies under the path, each with its reason."""

import os
import sys
from pathlib import Path

import pytest

from tests.frames.pictures import encode, folder_of, left, rejections, scene
from wmsd_core.frames import Entry, FramesConfig, Ignored, Refusal, RefusedInput, register, register_entries
from wmsd_core.frames.walk import in_order
from wmsd_core.store import query, reading


def test_what_is_known_about_an_entry_is_stored_and_what_is_refused_is_counted(tmp_path: Path) -> None:
    first, second = folder_of(tmp_path / "images", 2)
    store = tmp_path / "store.duckdb"
    line = RefusedInput("list.jsonl:3", tmp_path / "list.jsonl", "mine", Refusal("incomplete", "line 3 has no path"))
    entries = [
        Entry(first, "mine", "CC0", "film.mp4", 1.25),
        Entry(second, "mine"),
        line,
        Ignored(tmp_path / "notes.txt"),
    ]
    found = register_entries(store, iter(entries), FramesConfig())
    assert (found.files, found.new, found.known, found.rejected, found.ignored) == (3, 2, 0, {"incomplete": 1}, 1)
    with reading(store) as con:
        rows = query(con, "SELECT source, licence, video, moment FROM frames ORDER BY path")
    assert rows == [
        {"source": "mine", "licence": "CC0", "video": "film.mp4", "moment": 1.25},
        {"source": "mine", "licence": "", "video": "", "moment": None},
    ]
    assert rejections(store, "frames") == {"list.jsonl": {"incomplete"}}
    assert register_entries(store, entries, FramesConfig()).known == 2


def test_batches_make_no_difference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder_of(tmp_path / "images", 7)
    (tmp_path / "images" / "zzz.png").write_bytes(encode(scene(0)))
    (tmp_path / "images" / "004a.png").write_bytes(encode(scene(2)))
    (tmp_path / "images" / "003.png").unlink()
    module = sys.modules["wmsd_core.frames.register"]  # its function has the same name
    results: list[object] = []
    for size, page in ((256, 100_000), (2, 3)):
        monkeypatch.setattr(module, "BATCH", size)
        monkeypatch.setattr(module, "_PAGE", page)
        store = tmp_path / f"{size}.duckdb"
        counts = register(store, tmp_path / "images", FramesConfig())
        with reading(store) as con:
            rows = (
                query(con, "SELECT * EXCLUDE (stamp) FROM frames ORDER BY ALL"),
                query(con, "SELECT * FROM rejections ORDER BY ALL"),
            )
        results.append((counts, rows))
    assert results[0] == results[1]
    assert {"zzz.png": {"duplicate"}, "004a.png": {"duplicate"}} == rejections(tmp_path / "2.duckdb", "frames")


def test_a_frame_that_moved_to_another_folder_is_not_missing(tmp_path: Path) -> None:
    old = folder_of(tmp_path / "one", 2)[0]
    store = tmp_path / "store.duckdb"
    register(store, tmp_path / "one", FramesConfig())
    (tmp_path / "two").mkdir()
    new = tmp_path / "two" / "a.png"
    old.rename(new)
    register(store, tmp_path / "one", FramesConfig())
    assert rejections(store, "frames") == {"000.png": {"missing"}}
    assert register(store, tmp_path / "two", FramesConfig()).known == 1
    assert rejections(store, "frames") == {} and len(left(store, "frames")) == 2


def test_a_refused_file_that_was_taken_away_is_forgotten(tmp_path: Path) -> None:
    folder_of(tmp_path / "images", 1)
    (tmp_path / "images" / "x.png").touch()
    store = tmp_path / "store.duckdb"
    register(store, tmp_path / "images", FramesConfig())
    assert rejections(store, "frames") == {"x.png": {"empty"}}
    (tmp_path / "images" / "x.png").unlink()
    register(store, tmp_path / "images", FramesConfig())
    assert rejections(store, "frames") == {}


def test_pipes_folders_devices_and_strange_names_are_refused_and_nothing_hangs(tmp_path: Path) -> None:
    images = tmp_path / "images"
    good = folder_of(images, 1)[0]
    os.mkfifo(images / "pipe.png")
    (images / "folder.png").mkdir()
    (images / "link.png").symlink_to(images / "folder.png")
    (images / "loop.png").symlink_to(images / "loop.png")
    (images / "null.png").symlink_to("/dev/null")
    (images / "two\nlines.png").write_bytes(encode(scene(1)))
    Path(os.fsdecode(os.fsencode(images) + b"/caf\xe9.png")).write_bytes(encode(scene(2)))
    store = tmp_path / "store.duckdb"
    found = register(store, images, FramesConfig())
    assert rejections(store, "frames") == {
        "pipe.png": {"not_a_file"},
        "link.png": {"not_a_file"},
        "loop.png": {"unreadable"},
        "null.png": {"outside"},
        r"caf\xe9.png": {"bad_name"},
    }
    assert found.new == 2
    direct = [Entry(Path("/dev/zero"), "x"), Entry(images / "folder.png", "x"), Entry(good / "deeper.png", "x")]
    assert register_entries(store, direct, FramesConfig()).rejected == {"not_a_file": 2, "unreadable": 1}


@pytest.mark.parametrize("at_once", [1, 2, 3, 1000])
def test_names_are_sorted_whatever_fits_in_memory(at_once: int) -> None:
    names = ["b", "a\nb", os.fsdecode(b"\xff"), "", "a", "é", "b", "c" * 200_000]
    assert list(in_order(names, at_once)) == sorted(names)
