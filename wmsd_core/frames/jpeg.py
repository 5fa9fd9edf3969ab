"""JPEG files: how many scans they have, and their pixels, unless they are damaged in a way that a decoder only warns of."""

import io
import re

import cv2
import numpy as np
import simplejpeg
from jaxtyping import UInt8
from PIL import Image

from wmsd_core.frames.refusal import Refusal

_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
"""In the data of a scan: anything but a stuffed byte, a restart and a filler."""
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9
_ALONE = frozenset({0x01, *range(0xD0, 0xD9)})
"""Markers without a length behind them."""
_STRAY = 32
"""Bytes between the last picture row and the end that cameras leave behind; damage leaves more."""
_EXTRANEOUS = re.compile(r"(\d+) extraneous bytes")
_SERIOUS = re.compile(
    r"premature end|bad Huffman code|instead of RST|progression sequence|Unsupported marker|arithmetic code", re.I
)
"""What libjpeg says when rows are lost, and makes up others in their place: grey, noise, or the same again."""


def scans(data: bytes) -> int:
    """How often the picture is gone over. What lies behind its end, such as the video of a motion photo, is not looked at."""
    count, at = 0, 2
    while found := _MARKER.search(data, at):
        kind, at = data[found.start() + 1], found.end()
        if kind == _END_OF_IMAGE:
            break
        count += kind == _START_OF_SCAN
        if kind not in _ALONE:
            at += _length(data, at)
    return count


def decode(data: bytes, *, grey: bool, reduction: int) -> UInt8[np.ndarray, "H W ..."] | None:
    """Grey or blue-green-red, as displayed, at 1 / `reduction` of its size; None for a kind that this decoder does not know.

    Of a picture of one scan that lacks nothing but its end marker, as some cameras write them, all rows are there.

    Raises:
        Refusal: truncated or damaged: a part of what would be shown is not what was taken.
    """
    try:
        return _decoded(data, grey, reduction)
    except Refusal as refusal:
        if refusal.reason != "truncated" or scans(data) != 1:
            raise
        try:
            return _decoded(data + bytes([0xFF, _END_OF_IMAGE]), grey, reduction)
        except Refusal:
            raise refusal from None


def _decoded(data: bytes, grey: bool, reduction: int) -> UInt8[np.ndarray, "H W ..."] | None:
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
        height, width = int(height), int(width)
        if colours in ("CMYK", "YCCK"):
            return None
        image = simplejpeg.decode_jpeg(
            data,
            "GRAY" if grey else "BGR",
            min_height=-(-height // reduction),
            min_width=-(-width // reduction),
        )
    except ValueError as error:
        if _is_serious(str(error)):
            cut = "premature end of jpeg file" in str(error).lower()
            raise Refusal("truncated" if cut else "damaged", f"a damaged JPEG: {error}") from error
        return None
    return _upright(image[..., 0] if grey else image, _orientation(data))


def _is_serious(told: str) -> bool:
    stray = _EXTRANEOUS.search(told)
    return bool(_SERIOUS.search(told)) or (stray is not None and int(stray[1]) > _STRAY)


def _orientation(data: bytes) -> int:
    if data.find(b"Exif\0\0", 0, min(_header(data), 1 << 17)) < 0:
        return 1
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG",)) as image:
            return int(image.getexif().get(0x0112, 1))
    except Exception:  # as in the header check, a damaged EXIF block does not spoil the picture
        return 1


def _header(data: bytes) -> int:
    """Bytes before the first scan, which nobody who looks for EXIF reads beyond; all, where the segments are out of order."""
    at = 2
    while data[at : at + 1] == b"\xff":
        kind = data[at + 1 : at + 2]
        if kind == bytes([_START_OF_SCAN]):
            return at
        at += 1 if kind == b"\xff" else 2 if kind[:1] and kind[0] in _ALONE else 2 + _length(data, at + 2)
    return len(data)


def _length(data: bytes, at: int) -> int:
    return max(2, int.from_bytes(data[at : at + 2], "big"))


def _upright(image: np.ndarray, orientation: int) -> np.ndarray:
    """The picture as displayed; the eight orientations are those of EXIF."""
    if orientation in (5, 6, 7, 8):
        image = cv2.transpose(image)
    flips = {2: 1, 3: -1, 4: 0, 6: 1, 7: -1, 8: 0}
    return cv2.flip(image, flips[orientation]) if orientation in flips else image
