"""PNG files: the texts and colour profiles beside the pixels, which may be large, and may be bombs."""

import re
import zlib

from wmsd_core.frames.refusal import Refusal

MOST_UNPACKED = 16 << 20
"""Bytes that all packed texts and profiles of a file may have together: whole workflows fit, bombs do not."""
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_BESIDE = frozenset({b"tEXt", b"zTXt", b"iTXt", b"iCCP"})
_BEFORE_PACKED = {
    b"zTXt": re.compile(rb"[^\0]*\0."),
    b"iCCP": re.compile(rb"[^\0]*\0."),
    b"iTXt": re.compile(rb"[^\0]*\0\x01.[^\0]*\0[^\0]*\0"),  # \x01: it is packed
}
"""Name, method and languages, behind which the packed part of a chunk begins."""


def without_texts(data: bytes) -> bytes:
    """The file without texts and colour profile, which no picture needs: readers have limits of their own for them, and
    refuse sound files.

    Raises:
        Refusal: too_large: they unpack to more than `MOST_UNPACKED`.
    """
    if not data.startswith(_SIGNATURE):
        return data
    kept, begin, at, left = [], 0, len(_SIGNATURE), MOST_UNPACKED
    while at + 12 <= len(data):
        kind, end = data[at + 4 : at + 8], at + 12 + int.from_bytes(data[at : at + 4], "big")
        if kind in _BESIDE and end <= len(data):
            left -= _unpacked(kind, data[at + 8 : end - 4], left)
            kept.append(data[begin:at])
            begin = end
        at = end
    return b"".join([*kept, data[begin:]]) if kept else data


def _unpacked(kind: bytes, content: bytes, most: int) -> int:
    """Bytes that a chunk unpacks to; it is not unpacked beyond `most`."""
    pattern = _BEFORE_PACKED.get(kind)
    head = pattern.match(content) if pattern else None
    if head is None:
        return 0
    try:
        size = len(zlib.decompressobj().decompress(content[head.end() :], most + 1))
    except zlib.error:  # it is left out in any case
        return 0
    if size > most:
        raise Refusal("too_large", f"its texts and profiles unpack to more than {MOST_UNPACKED} bytes")
    return size
