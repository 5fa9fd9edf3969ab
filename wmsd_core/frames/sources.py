"""Where frames come from: the one place that tells a folder from a pattern, a video and a manifest."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from wmsd_core.frames.entry import Entry, Found, Ignored, Refused
from wmsd_core.frames.formats import IMAGES, OTHER_IMAGES, VIDEOS
from wmsd_core.frames.refusal import Refusal
from wmsd_core.frames.walk import walk


class Source(Protocol):
    """Something that holds images, videos, or both."""

    @property
    def name(self) -> str:
        """What it is called in the store, and what finds it again: an absolute path or pattern."""
        ...

    def found(self) -> Iterator[Found]:
        """Everything in it, in an order that is the same each time."""
        ...


@dataclass(frozen=True)
class Folder:
    """A folder and everything below it."""

    path: Path

    @property
    def name(self) -> str:
        return str(self.path)

    def found(self) -> Iterator[Found]:
        for path in walk(self.path):
            yield _by_name(path, self.path, self.name)


def source_of(text: str | Path) -> Source:
    """The source that `text` names.

    Raises:
        ValueError: there is no such thing.
    """
    path = Path(text)
    if path.is_dir():
        return Folder(path.resolve())
    raise ValueError(f"there is no folder {path}; give the folder that holds your images")


def checked(source: Source) -> Source:
    """`source`, unless it is of no use: that is said before any work begins.

    Raises:
        ValueError: there is no image and no video in it.
    """
    ignored = 0
    for found in source.found():
        if not isinstance(found, Ignored):
            return source
        ignored += 1
    suffixes = " ".join((*IMAGES, *sorted(VIDEOS)))
    raise ValueError(f"there is no image in {source.name} ({ignored} other files); it needs files named {suffixes}")


def _by_name(path: Path, within: Path, source: str) -> Found:
    """What a file is by its name. A link may not lead out of `within`: a folder is what was given, not the whole disk."""
    if path.name.startswith(".") or path.suffix.lower() not in (*IMAGES, *OTHER_IMAGES, *VIDEOS):
        return Ignored(path)
    try:
        if path.is_symlink() and not (real := path.resolve(strict=True)).is_relative_to(within):
            detail = f"a link to {real}, outside {within}; copy the file, or register its folder"
            return Refused(str(path), path, source, Refusal("outside", detail))
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links, before Python 3.13
        return Refused(str(path), path, source, Refusal("unreadable", str(error)))
    return Entry(path, source)
