"""A folder of images becomes rows, and every file that is not one is accounted for with its reason."""

import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image

from tests.frames.pictures import count, encode, folder_of, left, rejections, scene
from wmsd_core.filters import MeasureConfig, measure_frames
from wmsd_core.frames import FramesConfig, register
from wmsd_core.store import query, reading


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_claiming(width: int, height: int) -> bytes:
    """A PNG that claims any size, with next to no pixels behind its header."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


def test_every_bad_kind_has_its_reason_and_the_good_ones_are_kept(tmp_path: Path) -> None:
    images, outside = tmp_path / "images", tmp_path / "outside.png"
    good = folder_of(images, 2)
    deep = folder_of(images / "a" / "b", 1, first=10)
    outside.write_bytes(encode(scene(99)))
    (images / "002_again.png").write_bytes(good[0].read_bytes())
    (images / "empty.png").touch()
    (images / "text.jpg").write_text("no picture")
    (images / "liar.jpg").write_bytes(encode(scene(3)))
    (images / "moving.gif").write_bytes(encode(scene(4), "GIF"))
    (images / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic")
    (images / "bomb.png").write_bytes(png_claiming(9000, 9000))
    (images / "superbomb.png").write_bytes(png_claiming(60000, 60000))
    (images / "escape.png").symlink_to(outside)
    (images / "dangling.png").symlink_to(images / "nothing.png")
    (images / "link.png").symlink_to(good[1])
    (images / "notes.txt").write_text("ignored")
    (images / ".hidden.png").write_bytes(encode(scene(5)))
    store = tmp_path / "store.duckdb"
    found = register(store, images, FramesConfig())
    assert rejections(store, "frames") == {
        "002_again.png": {"duplicate"},
        "empty.png": {"empty"},
        "text.jpg": {"not_an_image"},
        "liar.jpg": {"wrong_extension"},
        "moving.gif": {"unsupported"},
        "phone.heic": {"unsupported"},
        "bomb.png": {"too_large"},
        "superbomb.png": {"too_large"},
        "escape.png": {"outside"},
        "dangling.png": {"unreadable"},
        "link.png": {"duplicate"},
    }
    assert (found.files, found.new, found.known, found.ignored) == (14, 3, 0, 2)
    assert found.files == found.new + found.known + sum(found.rejected.values())
    with reading(store) as con:
        rows = query(con, "SELECT path, format, width, height FROM frames ORDER BY path")
    assert [Path(row["path"]) for row in rows] == [*good, *deep]
    assert {(row["format"], row["width"], row["height"]) for row in rows} == {("PNG", 64, 48)}


def test_a_second_walk_finds_nothing_new_and_a_repaired_file_is_taken(tmp_path: Path) -> None:
    images, store = tmp_path / "images", tmp_path / "store.duckdb"
    folder_of(images, 2)
    (images / "x.png").touch()
    first = register(store, images, FramesConfig())
    assert register(store, images, FramesConfig()).known == first.new == 2
    (images / "x.png").write_bytes(encode(scene(7)))
    again = register(store, images, FramesConfig())
    assert (again.new, again.known, again.rejected) == (1, 2, {})
    assert rejections(store, "frames") == {}


def test_a_file_that_has_moved_gets_its_new_path_and_stays_one_frame(tmp_path: Path) -> None:
    images, store = tmp_path / "images", tmp_path / "store.duckdb"
    old = folder_of(images, 1)[0]
    register(store, images, FramesConfig())
    before = left(store, "frames")
    new = images / "renamed.png"
    old.rename(new)
    register(store, images, FramesConfig())
    assert left(store, "frames") == before
    with reading(store) as con:
        assert query(con, "SELECT path FROM frames") == [{"path": str(new)}]


def test_the_same_bytes_in_another_folder_are_a_duplicate(tmp_path: Path) -> None:
    store = tmp_path / "store.duckdb"
    folder_of(tmp_path / "one", 2)
    folder_of(tmp_path / "two", 3)
    register(store, tmp_path / "one", FramesConfig())
    found = register(store, tmp_path / "two", FramesConfig())
    assert (found.new, found.rejected) == (1, {"duplicate": 2})
    assert count(store, "frames") == 3


def test_names_may_be_ignored_on_request(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "liar.jpg").write_bytes(encode(scene(3)))
    store = tmp_path / "store.duckdb"
    assert register(store, tmp_path / "images", FramesConfig(require_matching_extension=False)).new == 1


def test_size_is_as_displayed(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    (tmp_path / "images" / "turned.jpg").write_bytes(encode(scene(3), "JPEG", exif=exif))
    store = tmp_path / "store.duckdb"
    register(store, tmp_path / "images", FramesConfig())
    with reading(store) as con:
        assert query(con, "SELECT width, height FROM frames") == [{"width": 48, "height": 64}]


def test_a_missing_or_empty_folder_is_an_error_that_says_so(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is no folder"):
        register(tmp_path / "store.duckdb", tmp_path / "nowhere", FramesConfig())
    (tmp_path / "captions.txt").touch()
    with pytest.raises(ValueError, match=r"no image in .*1 other files"):
        register(tmp_path / "store.duckdb", tmp_path, FramesConfig())


def test_a_file_that_is_gone_is_rejected_until_it_is_back(tmp_path: Path) -> None:
    paths = folder_of(tmp_path / "images", 3)
    store = tmp_path / "store.duckdb"
    register(store, tmp_path / "images", FramesConfig())
    data = paths[0].read_bytes()
    paths[0].unlink()
    register(store, tmp_path / "images", FramesConfig())
    assert len(left(store, "frames")) == 2
    paths[0].write_bytes(data)
    register(store, tmp_path / "images", FramesConfig())
    assert len(left(store, "frames")) == 3


def test_what_cannot_be_decoded_stays_rejected_when_the_folder_is_walked_again(tmp_path: Path) -> None:
    folder_of(tmp_path / "images", 2)
    (tmp_path / "images" / "cut.png").write_bytes(encode(scene(7))[:400])
    store = tmp_path / "store.duckdb"
    register(store, tmp_path / "images", FramesConfig())
    measure_frames(store, left(store, "frames"), MeasureConfig())
    assert len(left(store, "frames")) == 2
    register(store, tmp_path / "images", FramesConfig())
    assert len(left(store, "frames")) == 2
