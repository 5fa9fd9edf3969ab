"""The header check: what an image file says about itself, before any pixel of it is decoded."""

import io
import warnings
from dataclasses import dataclass

from PIL import Image, UnidentifiedImageError

from wmsd_core.frames.formats import IMAGES
from wmsd_core.frames.refusal import Refusal

_SAME_FILE_FORMAT = {"MPO": "JPEG"}  # what phones write: a JPEG with further pictures behind it
_ORIENTATION = 0x0112
_QUARTER_TURNS = {5, 6, 7, 8}


@dataclass(frozen=True)
class Header:
    """Format of the content in Pillow's names, and the size in pixels as displayed (EXIF orientation applied)."""

    format: str
    width: int
    height: int


def read_header(data: bytes, suffix: str, *, max_pixels: int, require_matching_suffix: bool) -> Header:
    """Format and size of an encoded image that may be decoded.

    Raises:
        Refusal: empty, not_an_image, unsupported, wrong_extension, or too_large (a decompression bomb).
    """
    if not data:
        raise Refusal("empty", "the file has no bytes")
    found, width, height, orientation = _open(data, suffix)
    if found not in IMAGES.values():
        raise Refusal("unsupported", f"a {found} image; supported are {', '.join(sorted(set(IMAGES.values())))}")
    if require_matching_suffix and IMAGES.get(suffix.lower()) != found:
        raise Refusal("wrong_extension", f"the name ends in {suffix}, the content is {found}")
    if width * height > max_pixels:
        raise Refusal("too_large", f"{width}x{height} is {width * height} pixels, the limit is {max_pixels}")
    if orientation in _QUARTER_TURNS:
        width, height = height, width
    return Header(found, width, height)


def _open(data: bytes, suffix: str) -> tuple[str, int, int, int]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data)) as image:
                found = str(image.format)
                return _SAME_FILE_FORMAT.get(found, found), image.width, image.height, _orientation(image)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise Refusal("too_large", str(error)) from error
    except UnidentifiedImageError as error:
        if suffix.lower() not in IMAGES:
            raise Refusal("unsupported", f"{suffix} files cannot be read; convert them to PNG or JPEG") from error
        raise Refusal("not_an_image", f"no image format begins with {data[:8]!r}") from error
    except Exception as error:  # on damaged headers Pillow's parsers raise nearly anything, SyntaxError included
        raise Refusal("not_an_image", f"the header is damaged: {error}") from error


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # a damaged EXIF block does not spoil the picture, and the decoder ignores it too
        return 1
