"""A file by its name, however its accents are written: macOS parts them from their letters (NFD), most others do not (NFC)."""

import os
import unicodedata
from pathlib import Path, PurePath


def same(name: str) -> str:
    """What two names have in common that differ in the writing of accents only."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def existing(base: Path, name: str) -> Path | None:
    """The path of `name` below `base` as it lies on the disk; None if there is nothing of that name, or none can be."""
    if not _possible(name):
        return None
    path = base / name
    if os.path.lexists(path) or name.isascii():
        return path if os.path.lexists(path) else None
    path = base
    for part in PurePath(name).parts:
        written = (part, unicodedata.normalize("NFC", part), unicodedata.normalize("NFD", part))
        found = next((one for one in written if os.path.lexists(path / one)), None)
        if found is None:
            return None
        path /= found
    return path


def _possible(name: str) -> bool:
    """Whether a file can have that name at all."""
    try:
        return b"\0" not in os.fsencode(name)
    except UnicodeEncodeError:
        return False
