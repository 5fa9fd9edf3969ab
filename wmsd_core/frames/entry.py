"""What a source of frames tells about each thing that it holds."""

import os
from dataclasses import dataclass
from pathlib import Path

from wmsd_core.frames.refusal import Refusal
from wmsd_core.unicode import storable


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
    line: str = ""
    """Manifest and number of the line that names it; empty where it was found by itself."""
    names_source: bool = False
    """Whether `source` is what the manifest says, and not merely the place where it was found."""
    note: str = ""
    """What was wrong with the line and cost it no more than a value."""
    input: bool = True
    """Whether it has a line of its own in the ledger. The frames of a video have that of the video."""

    @property
    def item(self) -> str:
        """What it is called in the ledger."""
        return self.line or stored_path(self.path)


@dataclass(frozen=True)
class RefusedInput:
    """Something that a source had to refuse itself, such as a line of a manifest that names no file."""

    item: str
    """Identifies it among rejections: a path, or a path and a line number."""
    path: Path
    source: str
    refusal: Refusal


@dataclass(frozen=True)
class Watched:
    """A video of which frames were taken; its entries came before."""

    item: str
    path: Path
    source: str
    frames: int
    damage: Refusal | None = None
    """What was wrong with it, though its frames could be used."""


@dataclass(frozen=True)
class Ignored:
    """A file that is none of our business, and why."""

    path: Path
    detail: str = "neither an image nor a video, by its name and its first bytes"


Found = Entry | RefusedInput | Watched | Ignored


def stored_path(path: Path) -> str:
    """The path as text that can be stored: bytes that are no UTF-8 are written as escapes."""
    try:
        return os.fsencode(path).decode(errors="backslashreplace")
    except UnicodeEncodeError:  # no file has such a name, but a manifest may name it
        return storable(str(path))
