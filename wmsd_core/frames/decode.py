"""From a file's bytes to pixels, at the size that is needed.

A JPEG is decoded at a DCT scale that still exceeds the wanted size, then area-averaged down to it, which saves work.
Other formats are decoded in full, since OpenCV would shrink them by sampling, which aliases. EXIF orientation is
applied. OpenCV releases the GIL, so callers use threads; its own are switched off, or both would fight for the cores.
"""

import hashlib
import io
from typing import cast

import cv2
import numpy as np
from jaxtyping import UInt8
from PIL import Image as PillowImage
from PIL import ImageOps

from wmsd_core.arrays import Image
from wmsd_core.frames import jpeg
from wmsd_core.frames.content import MOST_BYTES, read
from wmsd_core.frames.frame import Frame
from wmsd_core.frames.png import without_texts
from wmsd_core.frames.refusal import Refusal

cv2.setNumThreads(1)
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # a damaged file is recorded, it need not be printed

_WITH_TRANSPARENCY = ("PNG", "WEBP", "TIFF", "BMP")

Grey = UInt8[np.ndarray, "H W"]

_GREY = {
    1: cv2.IMREAD_GRAYSCALE,
    2: cv2.IMREAD_REDUCED_GRAYSCALE_2,
    4: cv2.IMREAD_REDUCED_GRAYSCALE_4,
    8: cv2.IMREAD_REDUCED_GRAYSCALE_8,
}
_COLOUR = {
    1: cv2.IMREAD_COLOR,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}


def grey_at_width(frame: Frame, width: int) -> Grey:
    """The frame in grey, at most `width` pixels wide; a narrower frame keeps its size.

    Raises:
        Refusal: the file is missing, changed, truncated or undecodable.
    """
    image = _decode(frame, _GREY[_reduction(frame.format, frame.width, width)])
    if image.shape[1] <= width:
        return image
    return _resize(image, width, max(1, round(width * image.shape[0] / image.shape[1])))


def rgb(frame: Frame, longest: int) -> Image:
    """The frame in RGB, its longer side at most `longest` pixels; smaller frames keep their size.

    Raises:
        Refusal: the file is missing, changed, truncated or undecodable.
    """
    reduction = _reduction(frame.format, max(frame.width, frame.height), longest)
    image = cv2.cvtColor(_decode(frame, _COLOUR[reduction]), cv2.COLOR_BGR2RGB)
    scale = longest / max(image.shape[:2])
    if scale < 1:
        image = _resize(image, max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    return cast(Image, image)


def _reduction(format_: str, extent: int, wanted: int) -> int:
    return max(d for d in _GREY if d == 1 or (format_ == "JPEG" and extent >= d * wanted))


def _resize(image: np.ndarray, width: int, height: int) -> np.ndarray:
    """Area averages, or bilinear down to half the size: there its weights are nearly those of area averages (at exactly
    half the same), every pixel counts, and it costs a tenth."""
    far = image.shape[1] > 2 * width or image.shape[0] > 2 * height
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if far else cv2.INTER_LINEAR)


def _decode(frame: Frame, flags: int) -> np.ndarray:
    try:
        data = read(frame.path, MOST_BYTES)
    except Refusal as refusal:
        raise Refusal("missing", f"the file cannot be read any more: {refusal.detail}") from refusal
    if hashlib.sha256(data).hexdigest() != frame.frame_id:
        # Also the guard of the header check: only bytes whose header was found acceptable are ever decoded.
        raise Refusal("changed", "the file has other content than when it was registered; register its folder again")
    if frame.format == "JPEG":
        reduction = next(times for table in (_GREY, _COLOUR) for times, flag in table.items() if flag == flags)
        image = jpeg.decode(data, grey=flags in _GREY.values(), reduction=reduction)
        if image is not None:
            return image
    else:
        data = without_texts(data)
        if (image := _composed(data)) is not None:
            return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY if flags in _GREY.values() else cv2.COLOR_RGB2BGR)
    try:
        image = cast(np.ndarray | None, cv2.imdecode(np.frombuffer(data, np.uint8), flags))
    except cv2.error as error:
        raise Refusal("undecodable", str(error)) from error
    if image is None:
        raise _diagnosis(data, frame.format)
    return image


def _composed(data: bytes) -> Image | None:
    """RGB of a picture with transparency, on white as viewers show it: what is hidden under it may be anything. None for
    one that is opaque by its form."""
    try:
        with PillowImage.open(io.BytesIO(data), formats=_WITH_TRANSPARENCY) as image:
            if image.mode not in ("RGBA", "LA", "PA", "La", "RGBa") and "transparency" not in image.info:
                return None
            shown = ImageOps.exif_transpose(image).convert("RGBA")
    except Exception:  # the decoder below says what is wrong with it
        return None
    white = PillowImage.new("RGBA", shown.size, "white")
    return np.asarray(PillowImage.alpha_composite(white, shown).convert("RGB"))


def _diagnosis(data: bytes, format_: str) -> Refusal:
    """OpenCV does not say why it fails; Pillow, asked about the few failures, does."""
    try:
        PillowImage.open(io.BytesIO(data)).load()
    except Exception as error:  # nearly anything, as in the header check
        return Refusal("truncated" if "truncated" in str(error) else "undecodable", f"a damaged {format_}: {error}")
    return Refusal("undecodable", f"a kind of {format_} that OpenCV cannot decode; save it again with another program")
