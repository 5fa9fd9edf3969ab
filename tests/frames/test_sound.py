"""Sound files that look odd are kept whole, and bad ones that look sound are not."""

import io
import random
import zlib
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tests.frames import fuzz
from tests.frames.clips import FPS, view, write_video
from tests.frames.pictures import SMALL, encode, left, rejections, scene
from wmsd_core.filters import measure_frames
from wmsd_core.frames import FramesConfig, find, jpeg, register
from wmsd_core.frames.decode import grey_at_width, rgb
from wmsd_core.frames.videos import VideoConfig
from wmsd_core.store import query, reading


def fate(tmp_path: Path, name: str, data: bytes) -> set[str]:
    """Why a file is turned down when it is registered or measured; empty if it is kept."""
    folder = tmp_path / "images"
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(data)
    store = tmp_path / "store.duckdb"
    register(store, folder, FramesConfig())
    measure_frames(store, left(store, "frames"), SMALL)
    return rejections(store, "frames").get(name, set())


def noisy(seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.clip(scene(seed, 240, 320) + rng.normal(0, 6, (240, 320, 3)), 0, 255).astype(np.uint8)


def test_large_texts_and_profiles_of_a_png_refuse_nothing(tmp_path: Path) -> None:
    text = "".join(random.Random(0).choices("abcdefgh ", k=3_000_000))
    info = PngInfo()
    info.add_text("plain", text)
    info.add_text("packed", text, zip=True)
    info.add_itxt("both", text, zip=True)
    image = Image.fromarray(scene(0))
    buffer = io.BytesIO()
    image.save(buffer, "PNG", pnginfo=info, icc_profile=random.Random(1).randbytes(9_000_000))
    assert fate(tmp_path, "a.png", buffer.getvalue()) == set()


@pytest.mark.parametrize("kind", [b"zTXt", b"iCCP", b"iTXt"])
def test_texts_that_unpack_to_too_much_are_bombs(tmp_path: Path, kind: bytes) -> None:
    packed = zlib.compress(bytes(32 << 20), 9)
    head = b"x\0\1\0\0\0" if kind == b"iTXt" else b"x\0\0"
    good = encode(scene(0))
    assert fate(tmp_path, "a.png", good[:33] + fuzz.png_chunk(kind, head + packed) + good[33:]) == {"too_large"}


def test_a_video_behind_a_picture_is_none_of_its_scans(tmp_path: Path) -> None:
    motion = encode(scene(0), "JPEG") + b"\xff\xda" * 5000 + random.Random(0).randbytes(1 << 20)
    assert jpeg.scans(motion) == 1
    assert fate(tmp_path, "a.jpg", motion) == set()


def test_scans_are_counted_and_too_many_refused(tmp_path: Path) -> None:
    data = encode(scene(0), "JPEG", progressive=True, exif=Image.Exif())
    last = data.rindex(b"\xff\xda")
    assert jpeg.scans(data) == data.count(b"\xff\xda")
    assert fate(tmp_path, "a.jpg", data[:last] + data[last:-2] * 490 + data[-2:]) == {"too_large"}


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("damage", ["noise", "zeros", "same", "lost", "swapped"])
def test_a_jpeg_half_of_whose_rows_are_garbage_is_damaged(tmp_path: Path, progressive: bool, damage: str) -> None:
    data = encode(noisy(), "JPEG", quality=90, progressive=progressive)
    half, rest = len(data) // 2, len(data) - len(data) // 2 - 2
    spoilt = {
        "noise": data[:half] + random.Random(0).randbytes(rest) + data[-2:],
        "zeros": data[:half] + bytes(rest) + data[-2:],
        "same": data[:half] + b"\xaa" * rest + data[-2:],
        "lost": data[:half] + data[half + 2000 :],
        "swapped": data[:half] + data[half + 2000 : half + 4000] + data[half : half + 2000] + data[half + 4000 :],
    }[damage]
    assert fate(tmp_path, "a.jpg", spoilt) <= {"damaged", "truncated", "undecodable"}
    assert fate(tmp_path, "a.jpg", spoilt)
    assert fate(tmp_path, "b.jpg", data) == set()
    assert fate(tmp_path, "c.jpg", data[:-2] + b"\0\0\0" + data[-2:]) == set()  # stray bytes, as cameras leave them


@pytest.mark.parametrize(("format_", "suffix"), [("PNG", "png"), ("WEBP", "webp"), ("TIFF", "tif")])
def test_colours_that_are_hidden_under_transparency_are_not_seen(tmp_path: Path, format_: str, suffix: str) -> None:
    hidden = Image.fromarray(np.dstack([noisy(), np.zeros((240, 320), np.uint8)]), "RGBA")
    buffer = io.BytesIO()
    hidden.save(buffer, format_, **({"lossless": True, "exact": True} if format_ == "WEBP" else {}))
    fate(tmp_path, f"a.{suffix}", buffer.getvalue())
    store = tmp_path / "store.duckdb"
    with reading(store) as con:
        (frame,) = find(con, [row["frame_id"] for row in query(con, "SELECT frame_id FROM frames")])
    assert rgb(frame, 320).min() == 255 and grey_at_width(frame, 320).min() == 255


def moments(tmp_path: Path, video: Path, **settings: object) -> list[float]:
    store = tmp_path / "store.duckdb"
    register(store, video, FramesConfig(video=VideoConfig.model_validate(settings)))
    with reading(store) as con:
        return [row["moment"] for row in query(con, "SELECT moment FROM frames ORDER BY moment")]


@pytest.mark.parametrize("length", [1, 2, 4])
def test_a_video_that_is_shorter_than_a_scene_gives_its_first_frame(tmp_path: Path, length: int) -> None:
    assert moments(tmp_path, write_video(tmp_path / "a.mp4", [view(0)] * length)) == [0]


def test_slides_are_scenes_however_few_frames_they_have(tmp_path: Path) -> None:
    shown = [5.0 * index for index in range(6)]
    video = write_video(tmp_path / "a.mkv", [view(index) for index in range(6)], shown)
    assert moments(tmp_path, video) == pytest.approx(shown)


def test_a_film_that_starts_late_is_whole(tmp_path: Path) -> None:
    shown = [100 + index / FPS for index in range(40)]
    video = write_video(tmp_path / "a.mkv", [view(index // 20) for index in range(40)], shown)
    assert moments(tmp_path, video) == pytest.approx([0.95, 2.95], abs=0.2)
    assert rejections(tmp_path / "store.duckdb", "frames") == {}


def changing_size(path: Path) -> Path:
    """Motion JPEG whose pictures become smaller and of another shape halfway."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        for index in range(20):
            height, width = (48, 64) if index < 10 else (32, 32)
            packet = av.Packet(encode(view(index // 10, height, width), "JPEG"))
            packet.stream, packet.pts, packet.dts, packet.time_base = stream, index, index, Fraction(1, FPS)
            container.mux(packet)
    return path


@pytest.mark.parametrize("suffix", ["avi", "mkv", "mov"])
def test_a_video_may_change_its_size(tmp_path: Path, suffix: str) -> None:
    assert len(moments(tmp_path, changing_size(tmp_path / f"a.{suffix}"))) == 2
    assert rejections(tmp_path / "store.duckdb", "frames") == {}


@pytest.mark.parametrize(
    ("suffix", "codec"),
    [
        ("mpg", "mpeg1video"),
        ("ts", "mpeg2video"),
        ("wmv", "wmv2"),
        ("flv", "flv"),
        ("3gp", "mpeg4"),
        ("ogv", "libtheora"),
    ],
)
def test_old_and_streamed_containers_are_read(tmp_path: Path, suffix: str, codec: str) -> None:
    path = tmp_path / f"a.{suffix}"
    forms = {"mpg": "mpeg", "ts": "mpegts", "wmv": "asf", "flv": "flv", "3gp": "3gp", "ogv": "ogg"}
    try:
        av.codec.Codec(codec, "w")
    except av.codec.codec.UnknownCodecError:
        pytest.skip(f"this FFmpeg writes no {codec}")
    with av.open(str(path), "w", format=forms[suffix]) as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for index in range(40):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(view(index // 20), "rgb24")))
        container.mux(stream.encode())
    for name in (path, path.rename(tmp_path / "nameless")):
        if name.exists():
            assert len(moments(tmp_path, name)) == 2


@pytest.mark.parametrize(
    ("cut", "progressive", "expected"),
    [(2, False, set()), (1, False, set()), (12, False, {"truncated"}), (2, True, {"truncated"})],
)
def test_a_jpeg_that_lacks_only_its_end_marker_is_whole(
    tmp_path: Path, cut: int, progressive: bool, expected: set[str]
) -> None:
    data = encode(scene(3, 96, 128), "JPEG", progressive=progressive, quality=90)
    assert data.endswith(b"\xff\xd9")
    assert fate(tmp_path, "a.jpg", data[:-cut]) == expected
