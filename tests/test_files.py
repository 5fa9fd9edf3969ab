"""Files appear whole or not at all."""

import hashlib
from pathlib import Path

import pytest

from wmsd_core.files import replacing, sha256


def test_a_block_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text("old")
    with pytest.raises(RuntimeError), replacing(path) as partial:
        partial.write_text("ne")
        raise RuntimeError
    assert [file.name for file in tmp_path.iterdir()] == ["page.html"]
    assert path.read_text() == "old"


def test_the_file_changes_when_the_block_ends_and_its_folder_is_made(tmp_path: Path) -> None:
    path = tmp_path / "new" / "page.html"
    with replacing(path) as partial:
        partial.write_text("new")
        assert not path.exists()
    assert [file.name for file in path.parent.iterdir()] == ["page.html"]
    assert sha256(path) == hashlib.sha256(b"new").hexdigest()


def test_two_writers_of_one_file_do_not_meet(tmp_path: Path) -> None:
    path = tmp_path / "clip.png"
    with replacing(path) as one, replacing(path) as other:
        assert one != other
        one.write_text("1")
        other.write_text("2")
    assert path.read_text() == "1"
