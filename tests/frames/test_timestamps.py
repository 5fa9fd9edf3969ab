"""A registered file that has not changed is not read again; one that has is, whatever its size and times say."""

import os
import sys
import time
from collections.abc import Callable
from io import BufferedReader
from pathlib import Path

import pytest

from tests.frames.pictures import count, encode, folder_of, left, rejections, scene
from wmsd_core.frames import FramesConfig, content, register
from wmsd_core.store import query, reading, writing

CFG = FramesConfig()


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that have been opened since it was cleared."""
    paths: list[Path] = []
    really: Callable[[Path], BufferedReader] = content.opened
    monkeypatch.setattr(content, "opened", lambda path: paths.append(path) or really(path))
    return paths


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten seconds have passed since whatever a test writes."""
    now = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: now() + 10**10)


def padded(seed: int) -> bytes:
    """Pictures of one size in bytes."""
    return encode(scene(seed)).ljust(4000, b"\0")


def test_unchanged_files_are_not_opened(
    tmp_path: Path, later: None, opened: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, images = tmp_path / "store.duckdb", tmp_path / "images"
    paths = folder_of(images, 3)
    register(store, images, CFG)
    with reading(store) as con:
        before = query(con, "SELECT * FROM frames ORDER BY frame_id")
    assert sorted(set(opened)) == paths
    opened.clear()
    assert register(store, images, CFG).known == 3
    assert opened == []
    with reading(store) as con:
        assert query(con, "SELECT * FROM frames ORDER BY frame_id") == before
    # nor is anything written of them, one by one
    with monkeypatch.context() as patched:
        patched.setattr(sys.modules["wmsd_core.frames.register"], "insert", None)
        assert register(store, images, CFG).known == 3
    register(store, images, FramesConfig(trust_timestamps=False))
    assert sorted(set(opened)) == paths


@pytest.mark.parametrize("hidden", [False, True])
def test_a_file_that_changes_is_noticed(tmp_path: Path, later: None, hidden: bool) -> None:
    """Of the same size, with a newer time or with its old one put back."""
    store, images = tmp_path / "store.duckdb", tmp_path / "images"
    images.mkdir()
    path = images / "a.png"
    path.write_bytes(padded(0))
    register(store, images, CFG)
    times = path.stat()
    path.write_bytes(padded(1))
    if hidden:
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert path.stat().st_size == times.st_size
    assert register(store, images, CFG).new == 1
    assert count(store, "frames") == 2


def test_a_file_written_a_moment_ago_is_not_trusted_yet(
    tmp_path: Path, opened: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It could change again and keep its time, where a file system counts in seconds."""
    store, images = tmp_path / "store.duckdb", tmp_path / "images"
    images.mkdir()
    path = images / "a.png"
    path.write_bytes(padded(0))
    then, really = path.stat(), Path.stat
    # a coarse file system: the times stay what they were
    monkeypatch.setattr(Path, "stat", lambda self, **options: then if self == path else really(self, **options))
    monkeypatch.setattr(time, "time_ns", lambda: then.st_ctime_ns + 10**9)
    register(store, images, CFG)
    path.write_bytes(padded(1))
    assert register(store, images, CFG).new == 1
    monkeypatch.setattr(time, "time_ns", lambda: then.st_ctime_ns + 3 * 10**9)
    register(store, images, CFG)  # now it has settled, and is read for the last time
    opened.clear()
    assert register(store, images, CFG).known == 1
    assert opened == []


def test_other_settings_and_other_content_when_decoded_make_it_look_again(
    tmp_path: Path, later: None, opened: list[Path]
) -> None:
    store, images = tmp_path / "store.duckdb", tmp_path / "images"
    paths = folder_of(images, 2)
    register(store, images, CFG)
    assert register(store, images, FramesConfig(max_pixels=100)).rejected == {"too_large": 2}
    register(store, images, CFG)
    (victim, _) = left(store, "frames")
    with writing(store) as con:  # as a decoder leaves it
        con.execute("INSERT INTO rejections SELECT 'frames', frame_id, 'changed', '', path, '' FROM frames LIMIT 1")
    opened.clear()
    register(store, images, CFG)
    assert len(set(opened)) == 1 and opened[0] in paths
    assert rejections(store, "frames") == {} and victim in left(store, "frames")


def test_moved_and_copied_files_are_what_they_were(tmp_path: Path, later: None) -> None:
    store, images = tmp_path / "store.duckdb", tmp_path / "images"
    paths = folder_of(images, 2)
    for _ in range(2):
        register(store, images, CFG)
    ids = left(store, "frames")
    paths[0].rename(images / "moved.png")
    (images / "z.png").write_bytes(paths[1].read_bytes())
    for _ in range(2):
        found = register(store, images, CFG)
        assert (found.new, found.known, found.rejected) == (0, 2, {"duplicate": 1})
    assert left(store, "frames") == ids
    with reading(store) as con:
        names = {Path(row["path"]).name for row in query(con, "SELECT path FROM frames")}
    assert names == {"moved.png", "001.png"}


@pytest.mark.parametrize("to", ["a.png", "c.png"])
def test_a_picture_that_changed_its_name_while_another_took_its_place_is_not_lost(
    tmp_path: Path, later: None, to: str
) -> None:
    store, images = tmp_path / "store.duckdb", tmp_path / "images"
    images.mkdir()
    place = images / "b.png"
    place.write_bytes(padded(1))
    register(store, images, CFG)
    place.rename(images / to)  # before or behind it in order
    place.write_bytes(padded(2))
    for _ in range(2):
        found = register(store, images, CFG)
        assert found.files == 2 and found.rejected == {} and rejections(store, "frames") == {}
        with reading(store) as con:
            named = {Path(row["path"]).name for row in query(con, "SELECT path FROM frames")}
        assert named == {"b.png", to}


def test_what_is_said_of_an_unchanged_file_elsewhere_is_looked_at_again(tmp_path: Path, later: None) -> None:
    store, images = tmp_path / "store.duckdb", tmp_path / "images"
    folder_of(images, 2)
    register(store, images, CFG)
    with writing(store) as con:  # as of a restored backup: a line is lost, a frame was rejected meanwhile
        con.execute("DELETE FROM files WHERE ends_with(item, '000.png')")
        con.execute(
            "INSERT INTO rejections SELECT 'frames', frame_id, 'missing', '', path, '' FROM frames WHERE path LIKE '%001.png'"
        )
    assert register(store, images, CFG).known == 2
    assert count(store, "files") == 2 and count(store, "rejections") == 0
