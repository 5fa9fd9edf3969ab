"""Pictures and videos small enough for a page: as data URIs, and as files."""

import base64
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from wmsd_core.arrays import Video
from wmsd_core.files import replacing
from wmsd_core.frames import Refusal, clips

PIXELATED = 64
"""Pictures up to this many pixels wide are kept whole, lossless, and enlarged without smoothing."""
THUMBNAIL = 160
TILE = 140
"""Pixels of a picture or clip in a file of its own: four of them beside each other fill a page of the Prefect UI."""
CLIP_WIDTH, CLIP_FRAMES = 240, 16
"""Larger videos are shown at most this wide, by this many frames spread evenly, the first and the last among them."""
FILE_WIDTH, FILE_FRAMES = 480, 24
"""The same where a clip is a file of its own. WebP pictures are at most 16,383 pixels wide."""


@dataclass(frozen=True)
class Strip:
    """A video as one picture, its frames side by side: the page shows one after the other."""

    uri: str
    """With the picture in it, or the name of its file."""
    frames: int
    width: int
    height: int
    pixelated: bool


def thumbnail(path: Path) -> str | None:
    """The picture at `path`, small; None where it is missing or cannot be decoded."""
    small = _decoded(path)
    return _uri(small.picture, lossless=small.pixelated) if small else None


def thumbnail_file(path: Path, folder: Path, name: str) -> str | None:
    """The same as a file in `folder` whose name begins with `name`, of which this is the name: one that is there is not made
    again."""
    for ending in ("webp", "png"):
        if (folder / f"{name}.{ending}").exists():
            return f"{name}.{ending}"
    small = _decoded(path)
    if small is None:
        return None
    file = folder / f"{name}.{'png' if small.pixelated else 'webp'}"
    with replacing(file) as partial:
        partial.write_bytes(_packed(small.picture, lossless=small.pixelated))
    return file.name


def write_thumbnail(path: Path, out: Path) -> bool:
    """Writes the picture at `path`, small, as the PNG `out`, with few pixels made large; whether it can be decoded."""
    if not (small := _decoded(path)):
        return False
    picture = small.picture
    if small.pixelated:
        times = max(1, TILE // picture.width)
        picture = picture.resize((picture.width * times, picture.height * times), Image.Resampling.NEAREST)
    picture.thumbnail((TILE, TILE))
    with replacing(out) as partial:
        picture.save(partial, "PNG")
    return True


def write_clip(path: Path, out: Path) -> bool:
    """Writes the video at `path`, small, as the animated WebP `out`, with few pixels made large; whether it can be read."""
    video = _small(path, TILE, CLIP_FRAMES)
    if video is None:
        return False
    pixelated = video.shape[2] <= PIXELATED
    times = TILE // video.shape[2] if pixelated else 1
    shown = video.repeat(times, axis=1).repeat(times, axis=2)
    first, *others = [Image.fromarray(frame) for frame in shown]
    with replacing(out) as partial:
        first.save(
            partial, "WEBP", save_all=True, append_images=others, duration=clips.FRAME_MS, loop=0, lossless=pixelated
        )
    return True


@dataclass(frozen=True)
class _Decoded:
    picture: Image.Image
    pixelated: bool


def _decoded(path: Path) -> _Decoded | None:
    try:
        with Image.open(path) as image:
            whole = image.width
            image.draft("RGB", (2 * THUMBNAIL, 2 * THUMBNAIL))  # a JPEG is decoded at about this size, the rest in full
            picture = image.convert("RGB")
    except (OSError, ValueError, SyntaxError):  # Pillow's ways to say that a file is no picture
        return None
    pixelated = whole <= PIXELATED
    picture.thumbnail((THUMBNAIL, THUMBNAIL))
    return _Decoded(picture, pixelated)


def strip(path: Path) -> Strip | None:
    """The video of the benchmark at `path`; None where its file is missing, or cannot be read."""
    video = _small(path, CLIP_WIDTH, CLIP_FRAMES)
    if video is None:
        return None
    pixelated = video.shape[2] <= PIXELATED
    return Strip(_uri(_joined(video), lossless=pixelated), *_shape(video), pixelated)


def strip_file(path: Path, folder: Path, name: str) -> Strip | None:
    """The same, larger, as a file in `folder` whose name begins with `name`: one that is there is not made again."""
    for known in folder.glob(f"{name}-*x*x*.*"):
        frames, width, height = map(int, known.stem.rpartition("-")[2].split("x"))
        return Strip(known.name, frames, width, height, width <= PIXELATED)
    video = _small(path, FILE_WIDTH, FILE_FRAMES)
    if video is None:
        return None
    pixelated = video.shape[2] <= PIXELATED
    file = folder / f"{name}-{'x'.join(map(str, _shape(video)))}.{'png' if pixelated else 'webp'}"
    with replacing(file) as partial:
        partial.write_bytes(_packed(_joined(video), lossless=pixelated))
    return Strip(file.name, *_shape(video), pixelated)


def _small(path: Path, width: int, frames: int) -> Video | None:
    """A video as it is shown: whole if its pictures are tiny. None where it cannot be read."""
    try:
        video = clips.read(path)
    except (OSError, Refusal):
        return None
    return video if video.shape[2] <= PIXELATED else _reduced(video, width, frames)


def _shape(video: Video) -> tuple[int, int, int]:
    """Frames, width, height."""
    return video.shape[0], video.shape[2], video.shape[1]


def _joined(video: Video) -> Image.Image:
    frames, height, width, _ = video.shape
    return Image.fromarray(video.transpose(1, 0, 2, 3).reshape(height, frames * width, 3))


def _reduced(video: Video, width: int, frames: int) -> Video:
    chosen = np.linspace(0, len(video) - 1, min(len(video), frames)).round().astype(int)
    height = round(width * video.shape[1] / video.shape[2])
    size = (min(width, video.shape[2]), min(height, video.shape[1]))
    return np.stack([np.asarray(Image.fromarray(video[t]).resize(size, Image.Resampling.LANCZOS)) for t in chosen])


def _uri(picture: Image.Image, *, lossless: bool) -> str:
    kind = "png" if lossless else "webp"
    return f"data:image/{kind};base64,{base64.b64encode(_packed(picture, lossless=lossless)).decode()}"


def _packed(picture: Image.Image, *, lossless: bool) -> bytes:
    """A PNG, or a WebP."""
    buffer = io.BytesIO()
    picture.save(buffer, "PNG" if lossless else "WEBP", **({"optimize": True} if lossless else {"quality": 72}))
    return buffer.getvalue()
