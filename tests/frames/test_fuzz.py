"""Damaged and hostile image files: each is measured or refused with a reason, and bombs are refused unopened."""

import struct
import subprocess
import sys
import zlib
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.frames import fuzz
from tests.frames.pictures import SMALL, encode, left, rejections, scene
from wmsd_core.filters import measure_frames
from wmsd_core.frames import Frame, FramesConfig, find, register
from wmsd_core.frames.decode import rgb
from wmsd_core.store import reading


def test_three_hundred_damaged_files_crash_nothing_and_each_has_one_fate(tmp_path: Path) -> None:
    _, table = fuzz.fuzz(tmp_path, 300, seed=1)
    fates = Counter[str]()
    for (_, fate), number in table.items():
        fates[fate] += number
    assert fates.total() == 300
    assert fates["measured"] > 60 and fates["not_an_image"] > 30 and fates["too_large"] > 10 and fates["truncated"] > 3
    assert table["unharmed", "measured"] > 10


def test_the_files_are_the_same_for_each_seed() -> None:
    assert list(fuzz.files(20, 3)) == list(fuzz.files(20, 3)) != list(fuzz.files(20, 4))


def png(width: int, height: int, rows: int = 0) -> bytes:
    """A PNG that claims a size; the first `rows` of it are there, all black, in next to no bytes."""
    header = fuzz.png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    packer = zlib.compressobj(9)
    packed = b"".join(packer.compress(bytes(3 * width + 1)) for _ in range(rows)) + packer.flush()
    return b"\x89PNG\r\n\x1a\n" + header + fuzz.png_chunk(b"IDAT", packed) + fuzz.png_chunk(b"IEND", b"")


def tiff(width: int, height: int, **more: int) -> bytes:
    """A TIFF that claims a size, or a size of its tiles, and has a handful of bytes."""
    tags = {256: width, 257: height, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: height, 279: 64}
    tags |= {{"tile_width": 322, "tile_length": 323}[name]: value for name, value in more.items()}
    if more:
        tags |= {324: 8, 325: 64}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(tags.items()))
    return b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", len(tags)) + entries + bytes(64)


def many_scans(count: int) -> bytes:
    data = encode(scene(0), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * count + b"\xff\xd9"


BOMBS = {
    "square.png": png(60_000, 60_000),
    "long.png": png(1, 2**31 - 1),
    "black.png": png(20_000, 5_000, rows=500),  # 300 MB when decoded
    "lying.tif": tiff(60_000, 60_000),
    "tiled.tif": tiff(64, 48, tile_width=60_000, tile_length=60_000),
    "scans.jpg": many_scans(2_000),
    "square.bmp": b"BM"
    + struct.pack("<IIIIiiHHIIiiII", 100, 0, 54, 40, 60_000, 60_000, 1, 24, 0, 0, 0, 0, 0, 0)
    + bytes(46),
}


def test_a_bomb_is_refused_before_it_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images, store = tmp_path / "images", tmp_path / "store.duckdb"
    images.mkdir()
    for name, data in BOMBS.items():
        assert len(data) < 500_000
        (images / name).write_bytes(data)

    def decoded(*_: object) -> None:
        raise AssertionError("a bomb was decoded")

    monkeypatch.setattr(cv2, "imdecode", decoded)
    monkeypatch.setattr(Image.core, "decoder", decoded, raising=False)
    register(store, images, FramesConfig())
    measure_frames(store, left(store, "frames"), SMALL)
    assert rejections(store, "frames") == {name: {"too_large"} for name in BOMBS}


MEASURE = """
import resource, sys
from pathlib import Path
from tests.frames import fuzz
from wmsd_core.frames import register, FramesConfig
from tests.frames.pictures import encode, scene
folder = Path(sys.argv[1])
first, second = folder / "one", folder / "two"
first.mkdir()
(first / "a.png").write_bytes(encode(scene(0)))
register(folder / "one.duckdb", first, FramesConfig())  # what the libraries need once
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
register(folder / "two.duckdb", second, FramesConfig())
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def test_bombs_cost_no_memory(tmp_path: Path) -> None:
    (tmp_path / "two").mkdir()
    for name, data in BOMBS.items():
        (tmp_path / "two" / name).write_bytes(data)
    process = subprocess.run([sys.executable, "-c", MEASURE, str(tmp_path)], capture_output=True, text=True, check=True)
    assert int(process.stdout) < 50  # MiB; the smallest of them would take 300


def test_texts_that_unpack_to_gigabytes_are_not_unpacked(tmp_path: Path) -> None:
    good = encode(scene(0))
    bomb = fuzz.png_chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(20 << 20), 9))
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "before.png").write_bytes(good[:33] + bomb * 100 + good[33:])
    (tmp_path / "images" / "behind.png").write_bytes(good[:-12] + bomb * 100 + good[-12:])
    store = tmp_path / "store.duckdb"
    register(store, tmp_path / "images", FramesConfig())
    assert rejections(store, "frames") == {"before.png": {"too_large"}, "behind.png": {"too_large"}}


def frames(store: Path) -> list[Frame]:
    ids = left(store, "frames")
    with reading(store) as con:
        return find(con, ids)


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
@pytest.mark.parametrize(("format_", "suffix"), [("JPEG", "jpg"), ("PNG", "png"), ("WEBP", "webp"), ("TIFF", "tif")])
def test_the_stored_size_is_that_of_the_decoded_picture(
    tmp_path: Path, orientation: int, format_: str, suffix: str
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"tiffinfo": {0x0112: orientation}} if format_ == "TIFF" else {"exif": exif}
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / f"a.{suffix}").write_bytes(encode(scene(0), format_, **options))
    store = tmp_path / "store.duckdb"
    register(store, tmp_path / "images", FramesConfig())
    (frame,) = frames(store)
    assert rgb(frame, 1000).shape == (frame.height, frame.width, 3)
    assert (frame.width > frame.height) == (orientation in (1, 3))


def left_ids(store: Path) -> list[str]:
    return left(store, "frames")


@pytest.mark.parametrize(("format_", "suffix"), [("WEBP", "webp"), ("PNG", "png"), ("TIFF", "tif")])
def test_of_an_animation_the_first_picture_is_measured(tmp_path: Path, format_: str, suffix: str) -> None:
    first, *others = (Image.fromarray(np.full((48, 64, 3), level, np.uint8)) for level in (60, 120, 180))
    (tmp_path / "images").mkdir()
    first.save(tmp_path / "images" / f"a.{suffix}", format_, save_all=True, append_images=others)
    store = tmp_path / "store.duckdb"
    register(store, tmp_path / "images", FramesConfig())
    (frame,) = frames(store)
    assert abs(float(rgb(frame, 64).mean()) - 60) < 3
