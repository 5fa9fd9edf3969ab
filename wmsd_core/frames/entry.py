"""What a source of frames tells about each thing that it holds."""

from dataclasses import dataclass
from pathlib import Path

from wmsd_core.frames.refusal import Refusal


@dataclass(frozen=True)
class Entry:
    """One file that is said to be usable, and what is known about it before it is opened."""

    path: Path
    source: str
    """Where it comes from: a folder, a pattern, or a name that a manifest gives."""
    licence: str = ""
    video: str = ""
    """The video that it was taken from; empty for an image."""
    moment: float | None = None
    """Seconds into that video."""


@dataclass(frozen=True)
class Refused:
    """Something that a source had to refuse itself, such as a line of a manifest that names no file."""

    item: str
    """Identifies it among rejections: a path, or a path and a line number."""
    path: Path
    source: str
    refusal: Refusal


@dataclass(frozen=True)
class Ignored:
    """A file that is neither image nor video by its name."""

    path: Path


Found = Entry | Refused | Ignored
