"""Video files: lossless animated PNG, which any browser plays and which returns every pixel that was generated."""

import hashlib
import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageSequence
from PIL.PngImagePlugin import PngInfo

from wmsd_core import files
from wmsd_core.arrays import Video
from wmsd_core.files import replacing
from wmsd_core.frames.videos import whole

FRAME_MS = 125
"""Display time of a frame. It is also the unit in which Pillow counts equal frames, see `read`."""


def write(video: Video, folder: Path) -> tuple[Path, str]:
    """Writes uint8 [T, H, W, 3] under `folder`, named by its content; returns the path and the SHA-256 of the file.

    The file appears complete or not at all.
    """
    pictures = [Image.fromarray(frame) for frame in video]
    info = PngInfo()
    info.add_text("frames", str(len(pictures)))
    buffer = io.BytesIO()
    pictures[0].save(
        buffer,
        "PNG",
        save_all=True,
        append_images=pictures[1:],
        duration=FRAME_MS,
        loop=0,
        pnginfo=info,
    )
    sha256 = hashlib.sha256(buffer.getvalue()).hexdigest()
    path = folder / sha256[:2] / f"{sha256}.png"
    with replacing(path) as partial:
        partial.write_bytes(buffer.getvalue())
    return path, sha256


def intact(path: Path, sha256: str) -> bool:
    """Whether the file is there and has the bytes that were written."""
    return path.is_file() and files.sha256(path) == sha256


def read(path: Path) -> Video:
    """The video as it was generated, uint8 [T, H, W, 3]; of a clip from elsewhere, every frame of it.

    Raises:
        Refusal: such a clip cannot be used.

    Pillow writes equal consecutive frames once, with a longer display time, and a video in which nothing moves as a
    plain picture. Both are undone here: stillness is a finding, and the number of frames is part of it.
    """
    if path.suffix != ".png":
        return whole(path)[0]
    with Image.open(path) as image:
        total = int(image.info["frames"])
        frames: list[np.ndarray] = []
        for picture in ImageSequence.Iterator(image):
            shown = round(picture.info["duration"] / FRAME_MS) if getattr(image, "n_frames", 1) > 1 else total
            frames += [np.asarray(picture.convert("RGB"))] * shown
    return np.stack(frames)
