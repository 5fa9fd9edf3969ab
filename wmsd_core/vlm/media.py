"""Pictures as a request carries them, and which frames of a video are shown."""

import base64
import hashlib
from typing import Literal

import cv2
import numpy as np

from wmsd_core.arrays import Image, Video

_OPTIONS = {
    # Full colour resolution: small coloured things are what is judged.
    "jpeg": (
        ".jpg",
        [cv2.IMWRITE_JPEG_QUALITY, 95, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444],
    ),
    "png": (".png", [cv2.IMWRITE_PNG_COMPRESSION, 1]),
}


def shown_frames(length: int, count: int) -> list[int]:
    """Indices of `count` frames of a video of `length`, evenly spaced from the first to the last; all of a shorter one."""
    return list(range(length)) if length <= count else [round(at) for at in np.linspace(0, length - 1, count)]


def image_url(image: Image, encoding: Literal["jpeg", "png"]) -> str:
    """A picture as a data URL."""
    return f"data:image/{encoding};base64,{_packed(image, encoding)}"


def video_url(frames: Video) -> str:
    """Frames as vLLM takes a video that is sampled already: `data:video/jpeg;base64,` and the frames, comma between."""
    return "data:video/jpeg;base64," + ",".join(_packed(frame, "jpeg") for frame in frames)


def fingerprint(pixels: Image | Video) -> str:
    """SHA-256 of shape and pixels, hexadecimal."""
    found = hashlib.sha256(str(pixels.shape).encode())
    found.update(np.ascontiguousarray(pixels).data)
    return found.hexdigest()


def _packed(image: Image, encoding: Literal["jpeg", "png"]) -> str:
    suffix, options = _OPTIONS[encoding]
    done, data = cv2.imencode(suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)
    assert done  # a uint8 array always can be
    return base64.b64encode(data.tobytes()).decode()
