"""Pixels at the size that is wanted, whatever the format; and damage that is reported, never raised as a crash."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.frames.pictures import SMALL, encode, rejections, scene
from wmsd_core.filters import measure_frames
from wmsd_core.frames import Frame, FramesConfig, Refusal, register
from wmsd_core.frames.decode import grey_at_width, rgb
from wmsd_core.store import query, reading


def frame_of(path: Path, data: bytes, format_: str, width: int, height: int) -> Frame:
    path.write_bytes(data)
    return Frame(hashlib.sha256(data).hexdigest(), path, format_, width, height)


def smooth(height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    red, green = 127 + 100 * np.sin(x / width * 9), 127 + 100 * np.cos(y / height * 7)
    return np.stack([red, green, (red + green) / 2], -1).astype(np.uint8)


@pytest.mark.parametrize(("format_", "suffix"), [("PNG", "png"), ("JPEG", "jpg"), ("WEBP", "webp"), ("BMP", "bmp")])
def test_grey_has_the_working_width_and_the_same_content_in_every_format(
    tmp_path: Path, format_: str, suffix: str
) -> None:
    picture = smooth(480, 800)
    frame = frame_of(tmp_path / f"a.{suffix}", encode(picture, format_), format_, 800, 480)
    grey = grey_at_width(frame, 100)  # a JPEG is decoded at an eighth for this
    assert grey.shape == (60, 100)
    expected = (picture @ np.array([0.299, 0.587, 0.114])).reshape(60, 8, 100, 8).mean((1, 3))
    assert np.abs(grey - expected).mean() < 2


@pytest.mark.parametrize("width", [60, 100, 128, 150, 200, 250])  # by area averages, and bilinear up to half the size
def test_no_pixel_is_passed_over_when_a_picture_shrinks(tmp_path: Path, width: int) -> None:
    """Stripes of one pixel average to grey; sampling would leave them black and white."""
    picture = np.zeros((96, 256, 3), np.uint8)
    picture[:, ::2] = 255
    frame = frame_of(tmp_path / "a.png", encode(picture), "PNG", 256, 96)
    grey = grey_at_width(frame, width).astype(float)
    assert grey.mean() == pytest.approx(127.5, abs=1)
    assert width > 128 or np.ptp(grey) <= (1 if width == 128 else 100)


def test_a_narrow_frame_keeps_its_size(tmp_path: Path) -> None:
    frame = frame_of(tmp_path / "a.png", encode(scene(0)), "PNG", 64, 48)
    assert np.array_equal(grey_at_width(frame, 128), grey_at_width(frame, 64))
    assert grey_at_width(frame, 128).shape == (48, 64)
    assert np.array_equal(rgb(frame, 128), scene(0))
    assert rgb(frame, 32).shape == (24, 32, 3)


def test_orientation_is_applied_at_every_scale(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = np.zeros((160, 320, 3), np.uint8)
    picture[:, 160:] = 255  # white on the right; a quarter turn clockwise brings it to the bottom
    frame = frame_of(tmp_path / "a.jpg", encode(picture, "JPEG", exif=exif), "JPEG", 160, 320)
    for width in (160, 40, 20):
        grey = grey_at_width(frame, width)
        assert grey.shape == (2 * width, width)
        assert grey[: width // 2].mean() < 5
        assert grey[-width // 2 :].mean() > 250


def test_a_file_that_vanished_or_changed_is_refused(tmp_path: Path) -> None:
    frame = frame_of(tmp_path / "a.png", encode(scene(0)), "PNG", 64, 48)
    frame.path.write_bytes(encode(scene(1)))
    with pytest.raises(Refusal, match="changed"):
        rgb(frame, 64)
    frame.path.unlink()
    with pytest.raises(Refusal, match="missing"):
        rgb(frame, 64)


@pytest.mark.parametrize(("format_", "suffix"), [("PNG", "png"), ("JPEG", "jpg"), ("WEBP", "webp"), ("BMP", "bmp")])
@pytest.mark.parametrize("share", [0.5, 0.9, 0.99])
def test_a_truncated_file_is_never_measured(tmp_path: Path, format_: str, suffix: str, share: float) -> None:
    images, store = tmp_path / "images", tmp_path / "store.duckdb"
    images.mkdir()
    data = encode(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8), format_)
    (images / f"a.{suffix}").write_bytes(data[: int(share * len(data))])
    register(store, images, FramesConfig())
    with reading(store) as con:
        ids = [row["frame_id"] for row in query(con, "SELECT frame_id FROM frames")]
    assert measure_frames(store, ids, SMALL).measured == 0
    assert rejections(store, "frames")[f"a.{suffix}"] <= {"truncated", "undecodable", "not_an_image"}


_PICTURES = [
    ("png", encode(scene(1))),
    ("jpg", encode(scene(1), "JPEG")),
    ("webp", encode(scene(1), "WEBP")),
    ("bmp", encode(scene(1), "BMP")),
    ("tiff", encode(scene(1), "TIFF")),
]


@st.composite
def damaged(draw: st.DrawFn) -> tuple[str, bytes]:
    """A valid file with bits flipped, and perhaps its end cut off."""
    suffix, data = draw(st.sampled_from(_PICTURES))
    spoilt = bytearray(data)
    for place in draw(st.lists(st.integers(0, 8 * len(data) - 1), max_size=8)):
        spoilt[place // 8] ^= 1 << place % 8
    return suffix, bytes(spoilt[: draw(st.integers(0, len(data)))]) if draw(st.booleans()) else bytes(spoilt)


@settings(max_examples=6, deadline=None)
@given(st.lists(damaged(), min_size=20, max_size=40))
def test_damaged_bytes_are_measured_or_rejected_and_never_crash(
    tmp_path_factory: pytest.TempPathFactory, files: list[tuple[str, bytes]]
) -> None:
    tmp_path = tmp_path_factory.mktemp("damaged")
    images, store = tmp_path / "images", tmp_path / "store.duckdb"
    images.mkdir()
    for index, (suffix, data) in enumerate(files):
        (images / f"{index:02d}.{suffix}").write_bytes(data)
    register(store, images, FramesConfig(max_pixels=10_000_000))
    with reading(store) as con:
        ids = [row["frame_id"] for row in query(con, "SELECT frame_id FROM frames")]
    measure_frames(store, ids, SMALL)
    with reading(store) as con:
        measured = {
            Path(row["path"]).name for row in query(con, "SELECT path FROM frames JOIN measurements USING (frame_id)")
        }
    rejected = rejections(store, "frames")
    assert measured.isdisjoint(rejected)
    assert measured | rejected.keys() == {path.name for path in images.iterdir()}
