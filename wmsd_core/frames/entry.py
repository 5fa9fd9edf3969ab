"""What a source of frames tells about each thing that it holds."""

import os
from dataclasses import dataclass
from pathlib import Path

from wmsd_core.frames.refusal import Refusal
from wmsd_core.frames.remote import Blob
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
    """What it is called elsewhere: manifest and number of the line that names it, shard and member, or an address; empty for
    a file that was found by itself."""
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
    address: str = ""
    """Where it is no file of this machine."""


@dataclass(frozen=True)
class Afar:
    """An object behind an address, which is to be fetched: an image, a video, or a shard of them."""

    blob: Blob
    source: str
    licence: str = ""
    line: str = ""
    """Manifest and number, where one names it."""
    names_source: bool = False
    note: str = ""

    @property
    def item(self) -> str:
        """What it is called in the ledger."""
        return self.line or self.blob.address


@dataclass(frozen=True)
class Shard:
    """A file with many pictures inside, which is to be unpacked."""

    path: Path
    item: str
    """What it is called in the ledger; each member is called this, a colon, and its name or row."""
    source: str


Found = Entry | RefusedInput | Watched | Ignored
Listed = Found | Afar | Shard
"""What a source lists; `with_fetched` makes files of the last two."""


def stored_path(path: Path) -> str:
    """The path as text that can be stored: bytes that are no UTF-8 are written as escapes."""
    try:
        return os.fsencode(path).decode(errors="backslashreplace")
    except UnicodeEncodeError:  # no file has such a name, but a manifest may name it
        return storable(str(path))
