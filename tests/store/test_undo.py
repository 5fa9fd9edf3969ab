"""A store is never damaged by a kill, also where DuckDB writes over a block in place."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.store.test_store import count, frame
from wmsd_core import store
from wmsd_core.store import undo

METADATA, PAGE = 12288, 4096
"""Where the first block begins, in which DuckDB has its metadata; what a kill cannot divide."""


def add(path: Path, name: str) -> None:
    with store.writing(path) as con:
        store.insert(con, "frames", [frame(name)])


@pytest.fixture
def killed(tmp_path: Path) -> Path:
    """A store of one frame whose writer was killed when a page of the metadata of the next checkpoint was written."""
    path, later = tmp_path / "wmsd.duckdb", tmp_path / "later" / "wmsd.duckdb"
    add(path, "a")
    later.parent.mkdir()
    shutil.copy(path, later)
    add(later, "b")
    con = store.connection.duckdb.connect(str(path))
    undo.keep(con, path).close()
    con.close()
    torn, new = bytearray(path.read_bytes()), later.read_bytes()
    torn[METADATA : METADATA + PAGE] = new[METADATA : METADATA + PAGE]
    path.write_bytes(torn)
    return path


def test_a_store_killed_while_its_metadata_was_written_over_is_as_it_was(killed: Path) -> None:
    assert count(killed) == 1
    add(killed, "b")
    assert count(killed) == 2
    assert [file.name for file in killed.parent.glob("wmsd*")] == ["wmsd.duckdb"]


def test_without_what_was_kept_such_a_store_cannot_be_opened(killed: Path) -> None:
    killed.with_name("wmsd.duckdb.undo").unlink()
    with pytest.raises(store.StoreError, match="checksum"):
        count(killed)


def test_what_was_kept_only_in_part_counts_for_nothing(tmp_path: Path) -> None:
    path, kept = tmp_path / "wmsd.duckdb", tmp_path / "wmsd.duckdb.undo"
    add(path, "a")
    kept.write_bytes(b"\0" * 100)  # the writer was killed before DuckDB wrote anything
    assert count(path) == 1
    assert not kept.exists()


def test_a_checkpoint_that_was_finished_stays(tmp_path: Path) -> None:
    path, kept = tmp_path / "wmsd.duckdb", tmp_path / "wmsd.duckdb.undo"
    add(path, "a")
    with store.writing(path) as con:
        store.insert(con, "frames", [frame("b")])
        before = kept.read_bytes()
    kept.write_bytes(before)  # the writer was killed when all was written and this not yet deleted
    assert count(path) == 2
    assert not kept.exists()


def test_nothing_is_put_back_under_a_writer(tmp_path: Path) -> None:
    path, kept = tmp_path / "wmsd.duckdb", tmp_path / "wmsd.duckdb.undo"
    add(path, "a")
    with store.writing(path):
        program = f"from wmsd_core.store import undo; from pathlib import Path; undo.put_back(Path({str(path)!r}))"
        subprocess.run([sys.executable, "-c", program], check=True)
        assert kept.exists()
    assert not kept.exists()


def test_a_store_is_opened_for_writing_once_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "wmsd.duckdb"
    with store.writing(path), pytest.raises(RuntimeError, match="hand its connection on"), store.writing(path):
        pass
    add(path, "a")
    with store.writing(path), store.writing(tmp_path / "other.duckdb"):
        pass


def test_what_is_kept_is_of_the_store_alone(tmp_path: Path) -> None:
    path = tmp_path / "wmsd.duckdb"
    add(path, "a")
    with store.writing(path):
        kept = path.with_name("wmsd.duckdb.undo").read_bytes()[undo._DIGEST :]
    offsets = [offset for offset, block in undo._parts(kept) if block]
    assert METADATA in offsets and len(offsets) == len(undo._parts(kept))
