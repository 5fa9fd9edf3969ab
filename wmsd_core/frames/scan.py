"""Which files of a folder are taken for images."""

import os
from dataclasses import dataclass
from pathlib import Path

SUPPORTED = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".png": "PNG",
    ".webp": "WEBP",
    ".bmp": "BMP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
}
"""Suffix -> the format, in Pillow's names, that the content must have."""
OTHER_IMAGES = frozenset({".gif", ".avif", ".heic", ".heif", ".jp2", ".jxl", ".ppm", ".svg", ".tga", ".psd", ".ico"})
"""Suffixes of images that are reported as unsupported; any other file is none of our business (captions, JSON, ...)."""


@dataclass(frozen=True)
class Scan:
    """The image files of a folder, in order of path, and how many other files lie beside them."""

    folder: Path
    files: tuple[Path, ...]
    ignored: int


def scan(folder: Path) -> Scan:
    """Walks `folder` and everything below it; hidden files and folders are left out, linked folders not entered.

    Raises:
        ValueError: there is no such folder, or no image file in it.
    """
    if not folder.is_dir():
        raise ValueError(f"there is no folder {folder}; give the folder that holds your images")
    folder = folder.resolve()
    files: list[Path] = []
    ignored = 0
    for parent, folders, names in os.walk(folder, onerror=_fail):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            path = Path(parent, name)
            suffix = path.suffix.lower()
            if name.startswith(".") or (suffix not in SUPPORTED and suffix not in OTHER_IMAGES):
                ignored += 1
            else:
                files.append(path)
    if not files:
        suffixes = " ".join(SUPPORTED)
        raise ValueError(
            f"there is no image in {folder} or below it ({ignored} other files); it needs files named {suffixes}"
        )
    return Scan(folder, tuple(sorted(files)), ignored)


def _fail(error: OSError) -> None:
    raise ValueError(f"cannot list {error.filename}: {error.strerror}; make it readable or move it away") from error
