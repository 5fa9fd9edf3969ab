"""Which files are taken for images and videos: by their names, and by their first bytes where a name says nothing."""

import re
from pathlib import Path
from typing import Literal

from wmsd_core.frames.content import opened

IMAGES = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jpe": "JPEG",
    ".jfif": "JPEG",
    ".jif": "JPEG",
    ".mpo": "JPEG",
    ".png": "PNG",
    ".apng": "PNG",
    ".webp": "WEBP",
    ".bmp": "BMP",
    ".dib": "BMP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
}
"""Suffix -> the format, in Pillow's names, that the content must have."""
_OTHER_IMAGES = (
    "gif avif avifs heic heif hif jp2 j2k jpx jxl jxr pgm pbm ppm pnm svg tga psd ico cr2 nef arw dng exr hdr"
)
OTHER_IMAGES = frozenset(f".{name}" for name in _OTHER_IMAGES.split())
"""Suffixes of images that are reported as unsupported."""
_VIDEOS = "mp4 m4v mov qt mkv webm avi divx mpg mpeg mpe m1v m2v vob ts mts m2ts wmv asf flv f4v 3gp 3g2 ogv ogm mxf"
VIDEOS = frozenset(f".{name}" for name in _VIDEOS.split())
"""Suffixes of videos, of which frames are taken."""
_ALSO_TEXT = frozenset({".ts", ".mts"})
"""Suffixes that programs have too: such a file is a video if it begins like one."""
_OTHERS = """
    txt md rst json jsonl ndjson csv tsv xml html htm yaml yml toml ini cfg log srt vtt ass tex pdf doc docx xls xlsx ppt pptx
    py pyc js jsx tsx c h cpp rs go java sh bat css parquet arrow feather npy npz pt pth safetensors ckpt bin.index onnx h5
    db sqlite duckdb wal zip tar gz tgz bz2 xz zst 7z rar mp3 wav flac ogg oga opus m4a aac wma mid partial"""
OTHERS = frozenset(f".{name}" for name in _OTHERS.split())
"""Suffixes of files that are none of our business (captions, tables, sound, ...): they are not opened."""

_KNOWN = frozenset({*IMAGES, *OTHER_IMAGES, *VIDEOS, *OTHERS})
FileKind = Literal["image", "video", "other"]

_HEAD = 400
_BEHIND_NAMES = re.compile(r"(?:[?#&!:;@]|%3[fF]).*", re.DOTALL)
"""What addresses leave behind a name when they are saved: x.jpg?w=800, x.jpg:large, x.jpg!thumb."""
_IMAGE_BEGINS = re.compile(
    rb"\xff\xd8\xff|\x89PNG\r\n|RIFF....WEBP|II[*+]\0|MM\0[*+]|GIF8[79]a|....ftyp(?:avi[fs]|hei[cfxms]|hev[cx]|mi[af]1|msf1)"
    rb"|BM....\0\0\0\0...\0[\x0c\x28\x38\x40\x6c\x7c]\0\0\0",
    re.DOTALL,
)
_VIDEO_BEGINS = re.compile(
    rb"....(?:ftyp|moov|wide|mdat)|\x1a\x45\xdf\xa3|RIFF....AVI |\0\0\x01[\xba\xb3]|\x30\x26\xb2\x75\x8e\x66\xcf\x11|FLV\x01"
    rb"|\x47.{187}\x47|.{4}\x47.{191}\x47",
    re.DOTALL,
)


def suffix_of(path: Path) -> str:
    """The suffix in small letters, without what an address left behind it; '' if there is none that we know."""
    for name in (path.name, _BEHIND_NAMES.sub("", path.name)):
        if (suffix := Path(name).suffix.lower()) in _KNOWN:
            return suffix
    return ""


def kind_of(path: Path) -> FileKind:
    """What a file is taken for. One that is an image by its name is one, and a damaged one if it does not begin so.

    Raises:
        Refusal: its name says nothing, and it cannot be opened.
    """
    suffix = suffix_of(path)
    if suffix in IMAGES or suffix in OTHER_IMAGES:
        return "image"
    if suffix in VIDEOS and suffix not in _ALSO_TEXT:
        return "video"
    if suffix in OTHERS:
        return "other"
    with opened(path) as file:
        head = file.read(_HEAD)
    if _IMAGE_BEGINS.match(head):
        return "image"
    return "video" if _VIDEO_BEGINS.match(head) else "other"
