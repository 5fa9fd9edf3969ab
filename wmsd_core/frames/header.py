"""The header check: what an image file says about itself, before any pixel of it is decoded."""

import io
import warnings
from dataclasses import dataclass

from PIL import Image, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from wmsd_core.frames.formats import IMAGES, OTHER_IMAGES
from wmsd_core.frames.jpeg import scans
from wmsd_core.frames.png import without_texts
from wmsd_core.frames.refusal import Refusal

_SAME_FILE_FORMAT = {"MPO": "JPEG"}  # what phones write: a JPEG with further pictures behind it
_ORIENTATION = 0x0112
_QUARTER_TURNS = {5, 6, 7, 8}
_TILE_WIDTH, _TILE_LENGTH = 322, 323
_ASKED = (*sorted(set(IMAGES.values())), "GIF", "AVIF", "JPEG2000")
"""Formats whose headers are read: each further parser is one more for hostile files to play with."""
_MOST_SCANS = 100
"""Of a progressive JPEG, which has about ten. Each costs a pass over the whole picture, however few bytes it has."""
_MOST_PASSED = 1_500_000_000
"""Pixels times scans: some four seconds."""


@dataclass(frozen=True)
class Header:
    """Format of the content in Pillow's names, and the size in pixels as displayed (EXIF orientation applied)."""

    format: str
    width: int
    height: int


def read_header(data: bytes, suffix: str, *, max_pixels: int, require_matching_suffix: bool) -> Header:
    """Format and size of an encoded image that may be decoded; `suffix` is that of its name, '' if that says nothing.

    Raises:
        Refusal: empty, not_an_image, unsupported, wrong_extension, or too_large (a decompression bomb, by its size, that of
            its tiles, the number of its scans, or what its texts unpack to).
    """
    if not data:
        raise Refusal("empty", "the file has no bytes")
    found, width, height, orientation = _open(data, suffix, max_pixels)
    if found not in IMAGES.values():
        raise Refusal("unsupported", f"a {found} image; supported are {', '.join(sorted(set(IMAGES.values())))}")
    if require_matching_suffix and suffix and IMAGES.get(suffix) != found:
        raise Refusal("wrong_extension", f"the name ends in {suffix}, the content is {found}")
    if width * height > max_pixels:
        raise Refusal("too_large", f"{width}x{height} is {width * height} pixels, the limit is {max_pixels}")
    passes = scans(data) if found == "JPEG" else 1
    if passes > min(_MOST_SCANS, max(10, _MOST_PASSED // (width * height))):
        raise Refusal("too_large", f"it has {passes} scans of {width * height} pixels, the limit is {_MOST_SCANS}")
    if orientation in _QUARTER_TURNS and found != "TIFF":  # of a TIFF, Pillow gives the size as displayed
        width, height = height, width
    return Header(found, width, height)


def _open(data: bytes, suffix: str, max_pixels: int) -> tuple[str, int, int, int]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(without_texts(data)), formats=_ASKED) as image:
                found = str(image.format)
                if isinstance(image, TiffImageFile):
                    _refuse_large_tiles(image, max_pixels)
                return _SAME_FILE_FORMAT.get(found, found), image.width, image.height, _orientation(image)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise Refusal("too_large", str(error)) from error
    except UnidentifiedImageError as error:
        if suffix in OTHER_IMAGES:
            raise Refusal("unsupported", f"{suffix} files cannot be read; convert them to PNG or JPEG") from error
        raise Refusal("not_an_image", f"no image format begins with {data[:8]!r}") from error
    except Refusal:
        raise
    except Exception as error:  # on damaged headers Pillow's parsers raise nearly anything, SyntaxError included
        raise Refusal("not_an_image", f"the header is damaged: {error}") from error


def _refuse_large_tiles(image: TiffImageFile, max_pixels: int) -> None:
    """A decoder makes room for a whole tile, which may be far larger than the picture."""
    width, length = (int(image.tag_v2.get(tag, 0)) for tag in (_TILE_WIDTH, _TILE_LENGTH))
    if width * length > max_pixels:
        raise Refusal(
            "too_large", f"its tiles of {width}x{length} are {width * length} pixels, the limit is {max_pixels}"
        )


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # a damaged EXIF block does not spoil the picture, and the decoder ignores it too
        return 1
