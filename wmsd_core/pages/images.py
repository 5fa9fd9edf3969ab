"""Pictures and videos as data URIs small enough for a page."""

import base64
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from wmsd_core.arrays import Video
from wmsd_core.frames import Refusal, clips

PIXELATED = 64
"""Pictures up to this many pixels wide are kept whole, lossless, and enlarged without smoothing."""
THUMBNAIL = 160
CLIP_WIDTH, CLIP_FRAMES = 240, 16
"""Larger videos are shown at most this wide, by this many frames spread evenly, the first and the last among them."""


@dataclass(frozen=True)
class Strip:
    """A video as one picture, its frames side by side: the page shows one after the other."""

    uri: str
    frames: int
    width: int
    height: int
    pixelated: bool


def thumbnail(path: Path) -> str | None:
    """The picture at `path`, small; None where it is missing or cannot be decoded."""
    try:
        with Image.open(path) as image:
            whole = image.width
            image.draft("RGB", (2 * THUMBNAIL, 2 * THUMBNAIL))  # a JPEG is decoded at about this size, the rest in full
            picture = image.convert("RGB")
    except (OSError, ValueError, SyntaxError):  # Pillow's ways to say that a file is no picture
        return None
    pixelated = whole <= PIXELATED
    picture.thumbnail((THUMBNAIL, THUMBNAIL))
    return _uri(picture, lossless=pixelated)


def strip(path: Path) -> Strip | None:
    """The video of the benchmark at `path`; None where its file is missing, or cannot be read."""
    try:
        video = clips.read(path)
    except (OSError, Refusal):
        return None
    pixelated = video.shape[2] <= PIXELATED
    if not pixelated:
        video = _reduced(video)
    frames, height, width, _ = video.shape
    picture = Image.fromarray(video.transpose(1, 0, 2, 3).reshape(height, frames * width, 3))
    return Strip(_uri(picture, lossless=pixelated), frames, width, height, pixelated)


def _reduced(video: Video) -> Video:
    chosen = np.linspace(0, len(video) - 1, min(len(video), CLIP_FRAMES)).round().astype(int)
    height = round(CLIP_WIDTH * video.shape[1] / video.shape[2])
    size = (min(CLIP_WIDTH, video.shape[2]), min(height, video.shape[1]))
    return np.stack([np.asarray(Image.fromarray(video[t]).resize(size, Image.Resampling.LANCZOS)) for t in chosen])


def _uri(picture: Image.Image, *, lossless: bool) -> str:
    buffer = io.BytesIO()
    form = "PNG" if lossless else "WEBP"
    picture.save(buffer, form, **({"optimize": True} if lossless else {"quality": 72}))
    return f"data:image/{form.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"
