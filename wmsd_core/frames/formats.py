"""Which files are taken for images and videos, by their names."""

IMAGES = {
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
VIDEOS = frozenset({".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi"})
"""Suffixes of videos, of which frames are taken."""
