"""Frames of videos: which are taken, that none is taken twice, and what is said about broken ones."""

import struct
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from tests.frames.clips import CODECS, FPS, sound_only, view, write_video
from tests.frames.pictures import encode, rejections, scene
from tests.reference import REFERENCE
from wmsd_core.frames import FramesConfig, register, videos
from wmsd_core.frames.videos import VideoConfig
from wmsd_core.store import query, reading


def moments(store: Path) -> list[float]:
    with reading(store) as con:
        return [row["moment"] for row in query(con, "SELECT moment FROM frames WHERE video <> '' ORDER BY moment")]


def taken(tmp_path: Path, video: Path, **settings: object) -> list[float]:
    store = tmp_path / "store.duckdb"
    register(store, video, FramesConfig(video=VideoConfig.model_validate(settings)))
    return moments(store)


def scenes(*lengths: int) -> list[np.ndarray]:
    return [view(seed) for seed, length in enumerate(lengths) for _ in range(length)]


@pytest.mark.parametrize("suffix", CODECS)
def test_one_frame_of_each_scene_from_its_middle_in_every_container(tmp_path: Path, suffix: str) -> None:
    video = write_video(tmp_path / f"film.{suffix}", scenes(7, 15, 8))
    assert taken(tmp_path, video) == pytest.approx([0.3, 1.4, 2.5], abs=0.11)  # the middles are .3, 1.4, 2.55
    with reading(tmp_path / "store.duckdb") as con:
        rows = query(con, "SELECT path, source, video FROM frames ORDER BY moment")
    assert {(row["source"], row["video"]) for row in rows} == {(str(video), str(video))}
    for seed, row in enumerate(rows):
        picture = cv2.imread(row["path"])[..., ::-1].astype(float)
        assert np.abs(picture - view(seed)).mean() < 6
        assert np.abs(picture - view(seed + 1)).mean() > 30


def test_position_moves_the_frame_within_its_scene(tmp_path: Path) -> None:
    video = write_video(tmp_path / "film.mp4", [np.roll(view(0), index, 1) for index in range(8)] + scenes(8))
    assert taken(tmp_path / "0", video, position=0, mode="scenes")[0] == 0
    assert taken(tmp_path / "1", video, position=1, mode="scenes")[-1] == pytest.approx(1.5)


def test_a_fade_through_black_parts_two_scenes_and_none_of_its_frames_is_taken(tmp_path: Path) -> None:
    one, other = view(0).astype(float), view(1).astype(float)
    out = [(one * share).astype(np.uint8) for share in np.linspace(1, 0, 12)]
    in_ = [(other * share).astype(np.uint8) for share in np.linspace(0, 1, 12)]
    pictures = [view(0)] * 20 + out + [np.zeros_like(view(0))] * 4 + in_ + [view(1)] * 20
    video = write_video(tmp_path / "film.mp4", pictures)
    found = taken(tmp_path, video)
    assert len(found) == 2
    assert found[0] < 2.0 and found[1] > (20 + 12 + 4 + 12) / FPS


def test_a_still_and_a_noisy_picture_are_one_scene(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    noisy = [np.clip(view(0) + rng.normal(0, 20, view(0).shape), 0, 255).astype(np.uint8) for _ in range(30)]
    for name, pictures in (("still", [view(0)] * 30), ("noisy", noisy)):
        assert len(taken(tmp_path / name, write_video(tmp_path / f"{name}.mp4", pictures))) == 1


def test_a_short_scene_is_left_out(tmp_path: Path) -> None:
    video = write_video(tmp_path / "film.mp4", scenes(10, 4, 10))
    assert len(taken(tmp_path / "a", video)) == 2
    assert len(taken(tmp_path / "b", video, min_scene=0.2)) == 3


def test_intervals_are_those_of_the_clock_when_frames_come_irregularly(tmp_path: Path) -> None:
    shown = [0, 0.1, 0.2, 0.3, 0.9, 1.3, 1.31, 1.32, 1.33, 2.9, 3.0, 3.7, 4.2]
    video = write_video(tmp_path / "film.mkv", [np.roll(view(0), 4 * i, 1) for i in range(len(shown))], shown)
    assert taken(tmp_path, video, mode="interval", seconds=1) == pytest.approx([0, 1.3, 2.9, 3.0, 4.2])


def test_both_takes_both_and_a_limit_spreads_over_the_whole_video(tmp_path: Path) -> None:
    video = write_video(tmp_path / "film.mp4", [np.roll(view(i // 15), i, 1) for i in range(60)])
    both = taken(tmp_path / "both", video, mode="both", seconds=2)
    assert set(both) > {0.0, 2.0, 4.0} and len(both) == 3 + 4
    few = taken(tmp_path / "few", video, mode="interval", seconds=0.1, max_frames=8)
    assert 4 <= len(few) <= 8 and few[0] == 0 and few[-1] >= 4.8
    assert len(set(np.diff(few).round(3))) == 1
    files = list((tmp_path / "few" / "video_frames").rglob("*.jpg"))
    assert len(files) == len(few)


def test_a_rerun_decodes_nothing_and_after_a_kill_only_what_is_missing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "films"
    folder.mkdir()
    (folder / "picture.png").write_bytes(encode(scene(0)))
    write_video(folder / "film.mp4", scenes(10, 10, 10))
    store = tmp_path / "store.duckdb"
    written: list[str] = []

    def write_and_die_at(count: int) -> None:
        def write(path: Path, data: bytes) -> None:
            if len(written) == count:
                raise KeyboardInterrupt
            written.append(path.name)
            original(path, data)

        monkeypatch.setattr(videos, "_write", write)

    original = videos._write
    write_and_die_at(2)
    with pytest.raises(KeyboardInterrupt):
        register(store, folder, FramesConfig())
    write_and_die_at(100)
    first = register(store, folder, FramesConfig())
    assert (first.files, first.new) == (4, 4)
    assert len(written) == len(set(written)) == 4  # three frames and the list
    monkeypatch.setattr(videos._Video, "shots", None)
    again = register(store, folder, FramesConfig())
    assert (again.known, again.new) == (4, 0)


def test_other_settings_take_other_frames_and_a_lost_one_is_taken_again(tmp_path: Path) -> None:
    video = write_video(tmp_path / "film.mp4", [np.roll(view(i // 10), i, 1) for i in range(20)])
    assert len(taken(tmp_path, video)) == 2
    assert len(taken(tmp_path, video, mode="interval", seconds=0.4)) > 4
    lost = next((tmp_path / "video_frames").rglob("*.jpg"))
    lost.unlink()
    taken(tmp_path, video)
    taken(tmp_path, video, mode="interval", seconds=0.4)
    assert lost.is_file()


def boxes(data: bytes, *kinds: bytes) -> list[int]:
    return [at for kind in kinds for at in range(len(data)) if data.startswith(kind, at)]


def test_a_turned_video_gives_upright_frames(tmp_path: Path) -> None:
    picture = view(0)
    video = write_video(tmp_path / "film.mp4", [picture] * 10)
    data = bytearray(video.read_bytes())
    (header,) = boxes(data, b"tkhd")
    matrix = header + 44  # a quarter turn clockwise, as phones write it
    data[matrix : matrix + 36] = struct.pack(">9i", 0, 1 << 16, 0, -(1 << 16), 0, 0, 48 << 16, 0, 1 << 30)
    video.write_bytes(data)
    taken(tmp_path, video)
    (file,) = (tmp_path / "video_frames").rglob("*.jpg")
    shown = cv2.imread(str(file))[..., ::-1].astype(float)
    assert np.abs(shown - np.rot90(picture, -1)).mean() < 6


def reasons(tmp_path: Path, **files: bytes) -> dict[str, set[str]]:
    folder = tmp_path / "broken"
    folder.mkdir()
    for name, data in files.items():
        (folder / name.replace("_", ".")).write_bytes(data)
    store = tmp_path / "broken.duckdb"
    register(store, folder, FramesConfig())
    return rejections(store, "frames")


def claiming(width: int, height: int, path: Path) -> bytes:
    """A motion JPEG whose frames claim another size."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        for _ in range(5):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(view(0), "rgb24")))
        container.mux(stream.encode())
    size = struct.pack(">HH", 48, 64)
    data = path.read_bytes()
    assert data.count(b"\xff\xc0\x00\x11\x08" + size) == 5
    data = data.replace(b"\xff\xc0\x00\x11\x08" + size, b"\xff\xc0\x00\x11\x08" + struct.pack(">HH", height, width))
    return data.replace(struct.pack("<II", 64, 48), struct.pack("<II", width, height))


def test_broken_videos_are_refused_with_a_reason_and_nothing_is_opened_beside_them(tmp_path: Path) -> None:
    good = write_video(tmp_path / "good.mp4", scenes(10, 10)).read_bytes()
    raw = b"YUV4MPEG2 W64 H48 F10:1 C420\n" + (b"FRAME\n" + bytes(64 * 48 * 3 // 2)) * 10
    assert reasons(
        tmp_path,
        headless_mp4=good[: len(good) // 2],  # its index is at the end
        empty_mp4=b"",
        text_mkv=b"no video",
        raw_mkv=raw,  # FFmpeg could read it, and a hundred other formats, if it were let
        sound_mp4=sound_only(tmp_path / "sound.mp4").read_bytes(),
        other_mkv=write_video(tmp_path / "h264.mkv", scenes(10, 10))
        .read_bytes()
        .replace(b"V_MPEG4/ISO/AVC", b"V_NOBODYS/CODEC"),
        huge_avi=claiming(16_000, 16_000, tmp_path / "huge.avi"),
        list_mp4=b"#EXTM3U\n#EXTINF:1,\n" + str(tmp_path / "good.mp4").encode() + b"\n",
        concat_mov=b"ffconcat version 1.0\nfile '" + str(tmp_path / "good.mp4").encode() + b"'\n",
    ) == {
        "headless.mp4": {"not_a_video"},
        "empty.mp4": {"not_a_video"},
        "text.mkv": {"not_a_video"},
        "raw.mkv": {"not_a_video"},
        "sound.mp4": {"no_video"},
        "other.mkv": {"unsupported"},
        "huge.avi": {"too_large"},
        "list.mp4": {"not_a_video"},
        "concat.mov": {"not_a_video"},
    }


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi"])
def test_what_is_readable_of_a_truncated_video_is_used_and_said_each_time(tmp_path: Path, suffix: str) -> None:
    pictures = [np.roll(view(i // 20), i, 1) for i in range(60)]
    options = {"movflags": "faststart"} if suffix == "mp4" else {}
    video = write_video(tmp_path / f"film.{suffix}", pictures, **options)
    video.write_bytes(video.read_bytes()[: int(0.6 * video.stat().st_size)])
    found = taken(tmp_path, video)
    assert len(found) in (1, 2)
    store = tmp_path / "store.duckdb"
    assert rejections(store, "frames") == {f"film.{suffix}": {"truncated"}}
    again = register(store, video, FramesConfig())
    assert (again.known, again.rejected) == (len(found), {"truncated": 1})
    write_video(video, pictures, **options)
    assert "truncated" not in register(store, video, FramesConfig()).rejected
    assert video.name not in rejections(store, "frames")


PUBLISHED = sorted((REFERENCE / "videos").glob("*.mp4"))


@pytest.mark.skipif(not PUBLISHED, reason="the reference videos are not beside the checkout")
def test_a_generated_video_is_one_scene_taken_from_its_middle(tmp_path: Path) -> None:
    (moment,) = taken(tmp_path, PUBLISHED[0])
    assert moment == pytest.approx(2.5, abs=0.35)
