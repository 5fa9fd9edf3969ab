"""Small pictures and MPEG-4 clips, as in the published example trees."""

from pathlib import Path

import av
import numpy as np
from PIL import Image


def first(seed: int) -> np.ndarray:
    """Coloured blocks, uint8 [96, 128, 3]."""
    blocks = np.random.default_rng(seed).integers(0, 255, (6, 8, 3), dtype=np.uint8)
    return np.kron(blocks, np.ones((16, 16, 1), np.uint8))


def picture(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(first(seed)).save(path)


def clip(path: Path, seed: int, *, frames: int = 9, rate: int = 16) -> None:
    """A clip from the picture of that seed, in which its colours turn from left to right."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=rate)
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        for index in range(frames):
            frame = first(seed)
            frame[:, : 2 * index] = 255 - frame[:, : 2 * index]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
