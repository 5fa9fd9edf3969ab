"""Where frames come from: the one place that tells a folder from a pattern, a video and a manifest."""

import glob
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import chain, takewhile
from pathlib import Path
from typing import Protocol

from wmsd_core.frames import manifest
from wmsd_core.frames.entry import Entry, Found, Ignored, RefusedInput, stored_path
from wmsd_core.frames.formats import IMAGES, OTHERS, VIDEOS, kind_of, suffix_of
from wmsd_core.frames.manifest import Manifest
from wmsd_core.frames.names import existing, same
from wmsd_core.frames.refusal import Refusal, failed
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


@dataclass(frozen=True)
class Pattern:
    """The files below a folder that a glob pattern matches; `**` stands for any folders."""

    folder: Path
    pattern: tuple[str, ...]

    @property
    def name(self) -> str:
        return str(self.folder.joinpath(*self.pattern))

    def found(self) -> Iterator[Found]:
        # Neither of Python's globs will do: one follows links in circles, the other remembers every path it has found.
        for path in walk(self.folder, lambda below: _may_hold(below.relative_to(self.folder).parts, self.pattern)):
            if _matches(path.relative_to(self.folder).parts, self.pattern):
                yield _by_name(path, self.folder, self.name)


@dataclass(frozen=True)
class File:
    """One image or video."""

    path: Path

    @property
    def name(self) -> str:
        return str(self.path)

    def found(self) -> Iterator[Found]:
        yield _by_name(self.path, self.path, self.name)


@dataclass(frozen=True)
class Several:
    """Some sources, one after the other: content that is in two of them belongs to the first."""

    sources: tuple[Source, ...]

    @property
    def name(self) -> str:
        return ", ".join(source.name for source in self.sources)

    def found(self) -> Iterator[Found]:
        return chain.from_iterable(source.found() for source in self.sources)


def source_of(text: str | Path) -> Source:
    """The source that `text` names: a folder, a manifest, an image, a video, or a glob pattern.

    Raises:
        ValueError: there is no such thing, or it is none of these.
    """
    path = existing(Path(), str(text)) or Path(text)
    if path.is_dir():
        return Folder(path.resolve())
    if path.exists() and path.suffix.lower() in manifest.SUFFIXES:
        return Manifest(path.resolve())
    if path.exists() and _is_taken(path):
        return File(path.resolve())
    if path.exists():
        kinds = f"an image, a video ({' '.join(sorted(VIDEOS))}), or a manifest ({' '.join(sorted(manifest.SUFFIXES))})"
        raise ValueError(f"{path} is no source of frames; give a folder, a pattern in quotes, {kinds}")
    if glob.has_magic(str(path)):
        return _pattern(path)
    kind = "file" if path.suffix else "folder"
    raise ValueError(f"there is no {kind} {path}; give the folder that holds your images")


def _is_taken(path: Path) -> bool:
    try:
        return kind_of(path) != "other"
    except Refusal:
        return False


def several(texts: Iterable[str | Path]) -> Several:
    """The sources that `texts` name.

    Raises:
        ValueError: as `source_of`.
    """
    return Several(tuple(source_of(text) for text in texts))


def _pattern(path: Path) -> Pattern:
    """The pattern with its fixed part made absolute and free of links."""
    fixed = Path(*takewhile(lambda part: not glob.has_magic(part), path.parts))
    if not fixed.is_dir():
        raise ValueError(f"there is no folder {fixed} for the pattern {path}")
    return Pattern(fixed.resolve(), path.parts[len(fixed.parts) :])


def checked(source: Several) -> Several:
    """`source`, unless it is of no use: that is said before any work begins.

    Raises:
        ValueError: there is no image and no video in it, or in one of several.
    """
    for part in source.sources:
        found, others = part.found(), 0
        while isinstance(first := next(found, None), Ignored):
            others += 1
        if first is None:
            names = " ".join((*IMAGES, *sorted(VIDEOS)))
            raise ValueError(f"there is no image in {part.name} ({others} other files); it needs files named {names}")
    return source


def _matches(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    """Whether a path matches a glob pattern, part by part; `**` stands for any number of parts."""
    if not pattern:
        return not parts
    if pattern[0] == "**":
        return any(_matches(parts[skipped:], pattern[1:]) for skipped in range(len(parts) + 1))
    return bool(parts) and fnmatchcase(same(parts[0]), same(pattern[0])) and _matches(parts[1:], pattern[1:])


def _may_hold(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    """Whether a folder can have anything in it that matches: folders that cannot are not walked."""
    if not parts or pattern[:1] == ("**",):
        return True
    return len(pattern) > 1 and fnmatchcase(same(parts[0]), same(pattern[0])) and _may_hold(parts[1:], pattern[1:])


def _by_name(path: Path, within: Path, source: str) -> Found:
    """What a file is by its name. A link may not lead out of `within`: a folder is what was given, not the whole disk."""
    item = stored_path(path)
    if path.name.startswith("."):
        return Ignored(path, "hidden")
    try:
        if path.is_symlink() and not (real := path.resolve(strict=True)).is_relative_to(within):
            if suffix_of(path) in OTHERS or real.is_dir():
                return Ignored(path, f"a link to {real}, outside {within}")
            detail = f"a link to {real}, outside {within}; copy the file, or register its folder"
            return RefusedInput(item, path, source, Refusal("outside", detail))
        if kind_of(path) == "other":
            return Ignored(path)
    except Refusal as refusal:  # its name says nothing
        if refusal.reason == "not_a_file":
            return Ignored(path, refusal.detail)
        return RefusedInput(item, path, source, refusal)
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links, before Python 3.13
        return RefusedInput(item, path, source, Refusal("unreadable", str(error)))
    except Exception as error:
        return RefusedInput(item, path, source, failed(error))
    return Entry(path, source)
