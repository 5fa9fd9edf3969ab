"""Walking folders of any size, in order, with memory that does not grow with the number of files."""

import heapq
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path

AT_ONCE = 100_000
"""Names that are sorted in memory; a folder of more is sorted in pieces on disk."""


def walk(folder: Path, enter: Callable[[Path], bool] = lambda folder: True) -> Iterator[Path]:
    """Everything below `folder` that is no folder, in order of path, and the folders below it that cannot be listed. Hidden
    and linked folders are not entered, nor those that `enter` turns down.

    Raises:
        ValueError: `folder` itself cannot be listed.
    """
    open_ = [(folder, in_order(_names(folder)))]  # not by recursion: folders may be nested deeper than Python's calls
    while open_:
        place, names = open_[-1]
        try:
            name = next(names, None)
        except OSError as error:
            if place == folder:
                raise ValueError(f"cannot list {folder}: {error.strerror}; make it readable or move it away") from error
            name = None
            yield place
        if name is None:
            open_.pop()
        elif not name.endswith("/"):
            yield place / name
        elif not name.startswith(".") and enter(place / name):
            open_.append((place / name, in_order(_names(place / name))))


def in_order(names: Iterable[str], at_once: int = AT_ONCE) -> Iterator[str]:
    """`names` in ascending order; no more than `at_once` of them are held in memory."""
    names = iter(names)
    piece = sorted(islice(names, at_once))
    if len(piece) < at_once:
        yield from piece
        return
    with tempfile.TemporaryDirectory(prefix="wmsd-names-") as place:
        files: list[Path] = []
        while piece:
            files.append(Path(place, str(len(files))))
            files[-1].write_bytes(b"".join(os.fsencode(name) + b"\0" for name in piece))
            piece = sorted(islice(names, at_once))
        yield from heapq.merge(*(_stored(file) for file in files))


def _stored(file: Path) -> Iterator[str]:
    rest = b""
    with file.open("rb") as stream:
        while chunk := stream.read(1 << 16):
            *whole, rest = (rest + chunk).split(b"\0")  # a name may hold any byte but this one
            yield from map(os.fsdecode, whole)


def _names(folder: Path) -> Iterator[str]:
    with os.scandir(folder) as entries:
        for entry in entries:
            yield entry.name + "/" if entry.is_dir(follow_symlinks=False) else entry.name
