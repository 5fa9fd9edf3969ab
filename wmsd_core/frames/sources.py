"""Where frames come from: the one place that tells a folder from a pattern, a video and a manifest."""

import glob
import json
import re
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import chain, takewhile
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from wmsd_core.frames import manifest, remote
from wmsd_core.frames.columns import USUAL, Columns
from wmsd_core.frames.entry import Afar, Entry, Ignored, Listed, RefusedInput, Shard, stored_path
from wmsd_core.frames.formats import IMAGES, OTHERS, VIDEOS, kind_of, suffix_of
from wmsd_core.frames.manifest import Manifest
from wmsd_core.frames.names import existing, same
from wmsd_core.frames.refusal import Refusal, failed
from wmsd_core.frames.shards import TABLES, TARS, is_shard, picture_column
from wmsd_core.frames.walk import walk

_NO_PICTURE = "neither an image nor a video, by its name"


class Source(Protocol):
    """Something that holds images, videos, or both."""

    @property
    def name(self) -> str:
        """What it is called in the store, and what finds it again: an absolute path or pattern, or an address."""
        ...

    def found(self) -> Iterator[Listed]:
        """Everything in it, in an order that is the same each time."""
        ...


@dataclass(frozen=True)
class Folder:
    """A folder and everything below it."""

    path: Path

    @property
    def name(self) -> str:
        return str(self.path)

    def found(self) -> Iterator[Listed]:
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

    def found(self) -> Iterator[Listed]:
        # Neither of Python's globs will do: one follows links in circles, the other remembers every path it has found.
        for path in walk(self.folder, lambda below: _may_hold(below.relative_to(self.folder).parts, self.pattern)):
            if _matches(path.relative_to(self.folder).parts, self.pattern):
                named = is_shard(self.pattern[-1]) and path.is_file() and path.resolve().is_relative_to(self.folder)
                yield Shard(path, stored_path(path), self.name) if named else _by_name(path, self.folder, self.name)


@dataclass(frozen=True)
class File:
    """One image or video."""

    path: Path

    @property
    def name(self) -> str:
        return str(self.path)

    def found(self) -> Iterator[Listed]:
        yield _by_name(self.path, self.path, self.name)


@dataclass(frozen=True)
class Several:
    """Some sources, one after the other: content that is in two of them belongs to the first."""

    sources: tuple[Source, ...]

    @property
    def name(self) -> str:
        return ", ".join(source.name for source in self.sources)

    def found(self) -> Iterator[Listed]:
        return chain.from_iterable(source.found() for source in self.sources)


@dataclass(frozen=True)
class Packed:
    """One shard, or the shards of a dataset that Hugging Face's library has saved."""

    path: Path
    files: tuple[Path, ...]

    @property
    def name(self) -> str:
        return str(self.path)

    def found(self) -> Iterator[Listed]:
        for file in self.files:
            yield Shard(file, stored_path(file), self.name)


@dataclass(frozen=True)
class Remote:
    """An object behind an address, a folder of them, or those below a folder that a pattern matches."""

    address: str
    folder: str = ""
    """Empty for a single object."""
    pattern: tuple[str, ...] = ("**",)

    @property
    def name(self) -> str:
        return self.address

    def found(self) -> Iterator[Listed]:
        if not self.folder:
            yield Afar(remote.blob(self.address), self.name)
            return
        for one in remote.below(self.folder):
            if not _matches(one.address[len(self.folder) + 1 :].split("/"), self.pattern):
                continue
            suffix = suffix_of(Path(one.name))
            named = is_shard(self.pattern[-1]) and is_shard(one.name)
            taken = suffix and suffix not in OTHERS  # one whose name says nothing is not fetched for its first bytes
            yield (Afar(one, self.name) if named or taken else Ignored(Path(one.address), _NO_PICTURE, one.address))


@dataclass(frozen=True)
class RemoteManifest:
    """A manifest behind an address; its paths are relative to it."""

    address: str
    columns: Columns = USUAL
    allow: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.address

    def found(self) -> Iterator[Listed]:
        one = remote.blob(self.address)
        with tempfile.TemporaryDirectory(prefix="wmsd-manifest-") as place:
            file = Path(place, "list" + Path(one.name).suffix)
            try:
                remote.fetch(one, file, patience=60, most_bytes=2**32)
            except Refusal as refusal:
                raise ValueError(f"{self.address} cannot be read: {refusal.detail}") from refusal
            yield from Manifest(file, self.columns, self.allow, self.address).found()


def source_of(text: str | Path, columns: Columns = USUAL, allow: tuple[str, ...] = ()) -> Source:
    """The source that `text` names: a folder, a manifest, an image, a video, a shard, a glob pattern, or an address of these.
    `allow` has the beginnings of the addresses that a manifest may name.

    Raises:
        ValueError: there is no such thing, or it is none of these.
    """
    if remote.is_address(str(text)) and not str(text).startswith("file://"):
        return _remote(remote.checked_address(str(text)), columns, allow)
    text = str(text).removeprefix("file://")
    path = existing(Path(), text) or Path(text)
    if path.is_dir():
        path = path.resolve()
        return Packed(path, files) if (files := _saved_dataset(path)) else Folder(path)
    if path.is_file() and (path.name.lower().endswith((*TARS, ".arrow")) or _holds_pictures(path, columns)):
        return Packed(path.resolve(), (path.resolve(),))
    if path.exists() and path.suffix.lower() in manifest.SUFFIXES:
        return Manifest(path.resolve(), columns, allow)
    if path.exists() and _is_taken(path):
        return File(path.resolve())
    if path.exists():
        shards, lists = " ".join((*TARS, *TABLES)), " ".join(sorted(manifest.SUFFIXES))
        kinds = f"an image, a video ({' '.join(sorted(VIDEOS))}), a shard ({shards}), or a manifest ({lists})"
        raise ValueError(f"{path} is no source of frames; give a folder, a pattern in quotes, {kinds}")
    if glob.has_magic(str(path)):
        return _pattern(path)
    kind = "file" if path.suffix else "folder"
    raise ValueError(f"there is no {kind} {path}; give the folder that holds your images")


def _remote(address: str, columns: Columns, allow: tuple[str, ...]) -> Source:
    """What an address stands for, by its name: nothing is asked yet. In https://, ? begins a query and is no wildcard."""
    parts = urlsplit(address)
    if glob.has_magic(parts.path) or (parts.scheme not in ("http", "https") and "?" in address):
        folder, pattern = remote.fixed_part(address)
        return Remote(address, folder, pattern)
    suffix = suffix_of(Path(parts.path))
    if suffix in (".jsonl", ".csv", ".tsv"):
        return RemoteManifest(address, columns, allow)
    if is_shard(parts.path) or suffix in IMAGES or suffix in VIDEOS or parts.scheme in ("http", "https"):
        return Remote(address)
    return Remote(address.rstrip("/"), address.rstrip("/"))


def _saved_dataset(folder: Path) -> tuple[Path, ...]:
    """The Arrow files of a dataset, or of its splits, that `datasets` wrote by `save_to_disk`; none if it is another folder."""
    homes = sorted(state.parent for state in (*folder.glob("state.json"), *folder.glob("*/state.json")))
    if not (folder / "dataset_dict.json").is_file() and homes != [folder]:
        return ()
    files: list[Path] = []
    for home in homes:
        try:
            state = json.loads((home / "state.json").read_text(encoding="utf-8"))
            files += [home / Path(one["filename"]).name for one in state["_data_files"]]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{home / 'state.json'} is no record of a saved dataset: {error}; save it again"
            ) from error
    return tuple(files)


def _holds_pictures(path: Path, columns: Columns) -> bool:
    """Whether a Parquet file holds pictures, and not their paths."""
    if path.suffix.lower() != ".parquet":
        return False
    import pyarrow as pa  # here, as it is slow to load and few need it
    import pyarrow.parquet as pq

    try:
        return bool(picture_column(pq.read_schema(path), columns.picture))
    except (pa.ArrowException, OSError, ValueError):
        return False  # reading it as a manifest says what is wrong with it


def _is_taken(path: Path) -> bool:
    try:
        return kind_of(path) != "other"
    except Refusal:
        return False


def several(texts: Iterable[str | Path], columns: Columns = USUAL, allow: tuple[str, ...] = ()) -> Several:
    """The sources that `texts` name; shards-{000..127}.tar stands for 128.

    Raises:
        ValueError: as `source_of`.
    """
    return Several(tuple(source_of(one, columns, allow) for text in texts for one in _numbered(str(text))))


def _numbered(text: str) -> Iterator[str]:
    """`text` with each {first..last} counted out, as shells do where there are no quotes."""
    if (found := re.search(r"\{(\d+)\.\.(\d+)\}", text)) is None:
        yield text
        return
    width = len(found[1]) if found[1].startswith("0") else 0
    for number in range(int(found[1]), int(found[2]) + 1):
        yield from _numbered(text[: found.start()] + f"{number:0{width}d}" + text[found.end() :])


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


def _by_name(path: Path, within: Path, source: str) -> Listed:
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
