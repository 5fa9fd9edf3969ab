"""Small videos whose cuts are known."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

CODECS = {"mp4": "libx264", "mov": "libx264", "mkv": "libx264", "webm": "libvpx-vp9", "avi": "mpeg4"}
FPS = 10


def view(seed: int, height: int = 48, width: int = 64) -> np.ndarray:
    """uint8 [H, W, 3]: large blocks of colour, which survive a video codec; seeds differ by tens of levels."""
    blocks = np.random.default_rng(seed).integers(30, 226, (height // 16, width // 16, 3), dtype=np.uint8)
    return blocks.repeat(16, 0).repeat(16, 1)


def write_video(
    path: Path, pictures: Sequence[np.ndarray], moments: Sequence[float] | None = None, **options: str
) -> Path:
    """A video of RGB pictures, `FPS` a second, or shown at these moments (seconds)."""
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(CODECS[path.suffix[1:]], rate=FPS)
        stream.pix_fmt = "yuv420p"
        stream.height, stream.width = pictures[0].shape[:2]
        stream.gop_size = 5
        if moments:
            stream.codec_context.time_base = Fraction(1, 1000)
        for index, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, "rgb24")
            if moments:
                frame.pts, frame.time_base = round(1000 * moments[index]), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def sound_only(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        for index in range(8):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
            frame.sample_rate, frame.pts = 8000, 1024 * index
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path
