"""The first stage: the files of a source become rows of `frames`, what cannot be used rows of `rejections`.

Every file is looked at in batches and looked up in the store, so memory does not grow with the number of images.
"""

import hashlib
import os
import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import duckdb
from pydantic import Field

from wmsd_core.config import Config
from wmsd_core.frames.content import MOST_BYTES, read
from wmsd_core.frames.entry import Entry, Found, Ignored, Refused
from wmsd_core.frames.header import Header, read_header
from wmsd_core.frames.refusal import Refusal, record
from wmsd_core.frames.sources import checked, several
from wmsd_core.frames.videos import Report, VideoConfig, with_frames_of_videos
from wmsd_core.store import insert, query, reading, writing

BATCH = 1000
_PAGE = 100_000
"""Rows that are held at once when stored paths are checked."""
_SETTLED = 2 * 10**9
"""Nanoseconds after which a file that changes again is sure to have another time: file systems count in steps of up to 2 s."""

_COLUMNS = "frame_id, path, source, format, width, height, bytes, licence, video, moment, stamp"

T = TypeVar("T")


class FramesConfig(Config):
    """What counts as a usable image file, and which frames are taken of videos."""

    incidental = frozenset({"trust_timestamps"})

    max_pixels: int = Field(default=64_000_000, gt=0)
    """Largest width x height that is decoded; a larger header is refused as a decompression bomb."""
    max_bytes: int = Field(default=200_000_000, gt=0, le=MOST_BYTES)
    """Largest image file that is read, in bytes."""
    require_matching_extension: bool = True
    """Refuse a file whose content has another format than its name says; switch off for images scraped from the web."""
    trust_timestamps: bool = True
    """Take a registered file for unchanged, and do not read it, while its path, size and times of change are those that it
    had, as git does. Switch off on file systems that keep no such times."""
    video: VideoConfig = VideoConfig()
    """Which frames of videos are taken."""


@dataclass(frozen=True)
class Registered:
    """What a source held. `files` = `new` + `known` + the sum of `rejected`."""

    files: int
    new: int
    known: int
    """Registered before: the same bytes, whether under the same path or moved to another."""
    rejected: dict[str, int]
    """Reason -> files, or lines of a manifest."""
    ignored: int
    """Files that are neither images nor videos by their name."""


def register(
    store: Path,
    frames: str | Path | Sequence[str],
    config: FramesConfig,
    *,
    videos: Path | None = None,
    report: Report = lambda text: None,
) -> Registered:
    """Registers what a source holds, or several: see `source_of` for what it can be, and `register_entries` for how.

    Frames of videos are written below `videos`, a folder beside the store if none is given.

    Raises:
        ValueError: there is no such source, or no image and no video in it.
        StoreError: the store cannot be used.
    """
    source = checked(several([frames] if isinstance(frames, str | Path) else frames))
    with writing(store) as con:  # the lines of a manifest have no identity but their number, and may all have moved
        for part in source.sources:
            con.execute("DELETE FROM rejections WHERE stage = 'frames' AND starts_with(item, ?)", [f"{part.name}:"])
    into = (videos or store.parent / "video_frames").resolve()
    found = (item for item in source.found() if not _lies_in(item, into))  # the workspace may be below a given folder
    entries = with_frames_of_videos(found, into, config.video, config.max_pixels, report)
    return register_entries(store, entries, config, report)


def register_entries(
    store: Path, entries: Iterable[Found], config: FramesConfig, report: Report = lambda text: None
) -> Registered:
    """Registers files. Content is identified by SHA-256 and kept once: the first path in order.

    A rerun reads every file again that is not known to be unchanged, and judges it afresh; a frame whose file has moved
    gets its new path. Registered frames of the same sources whose file is gone are rejected as "missing" until a later run
    finds it again.

    Raises:
        StoreError: the store cannot be used.
    """
    tally = _Tally()
    with writing(store):
        pass  # creates it: `reading` below wants one
    for batch in batches(entries, BATCH):
        _register_batch(store, batch, config, tally)
        report(f"{tally.files} files, {tally.new} of them new")
    _refuse_missing(store, tally.sources, config)
    _forget_gone(store)
    return Registered(tally.files, tally.new, tally.known, dict(tally.rejected), tally.ignored)


@dataclass
class _Tally:
    new: int = 0
    known: int = 0
    ignored: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    sources: set[str] = field(default_factory=set)

    @property
    def files(self) -> int:
        return self.new + self.known + self.rejected.total()


@dataclass(frozen=True)
class _Look:
    """What a file's bytes say: kept instead of the bytes, of which a batch could hold gigabytes."""

    entry: Entry
    frame_id: str
    bytes: int
    header: Header | Refusal
    stamp: str | None


def _register_batch(store: Path, batch: Sequence[Found], config: FramesConfig, tally: _Tally) -> None:
    looks: list[_Look] = []
    refused: list[tuple[str, Path, Refusal]] = []
    settings = config.digest()
    trusted = _trusted(store, batch) if config.trust_timestamps else {}
    for found in batch:
        match found:
            case Ignored():
                tally.ignored += 1
            case Refused(item, path, source, refusal):
                tally.sources.add(source)
                refused.append((item, path, refusal))
            case Entry(path, source):
                tally.sources.add(source)
                try:
                    looks.append(_look(found, config, settings, trusted))
                except Refusal as refusal:
                    refused.append((_text(path), Path(_text(path)), refusal))
    with reading(store) as con:
        known = _known(con, [look.frame_id for look in looks])
    kept = {frame_id: Path(row["path"]) for frame_id, row in known.items()}
    usable: list[str] = []
    rows: list[dict[str, Any]] = []
    for look in looks:
        path = look.entry.path
        try:
            _refuse_second(path, look.frame_id, kept.get(look.frame_id), config.max_bytes)
            row = _row(look, known.get(look.frame_id))
        except Refusal as refusal:
            refused.append((str(path), path, refusal))
            continue
        if look.frame_id in kept:
            tally.known += 1
        else:
            tally.new += 1
        kept[look.frame_id] = path
        usable.append(look.frame_id)
        if row != known.get(look.frame_id):
            rows.append(row)
    tally.rejected.update(refusal.reason for *_, refusal in refused)
    with writing(store) as con:
        _forget_refusals(con, batch, usable)
        insert(con, "frames", rows, replace=True)
        record(con, refused, config.digest())


def _look(entry: Entry, config: FramesConfig, settings: str, trusted: dict[tuple[str, str], dict[str, Any]]) -> _Look:
    """What a file is: by its bytes, or by the row of `trusted` that was made when it was as it is now."""
    if _text(entry.path) != str(entry.path):
        raise Refusal("bad_name", "the name is not UTF-8, so it cannot be stored; rename the file")
    stamp = _stamp(entry.path, settings)  # before the file is read: one that changes meanwhile is looked at again
    if known := trusted.get((str(entry.path), stamp or "")):
        header = Header(known["format"], known["width"], known["height"])
        return _Look(entry, known["frame_id"], known["bytes"], header, stamp)
    data = read(entry.path, config.max_bytes)
    try:
        header: Header | Refusal = read_header(
            data,
            entry.path.suffix,
            max_pixels=config.max_pixels,
            require_matching_suffix=config.require_matching_extension,
        )
    except Refusal as refusal:
        header = refusal
    return _Look(entry, hashlib.sha256(data).hexdigest(), len(data), header, stamp)


def _stamp(path: Path, settings: str) -> str | None:
    """What stands for a file's content as long as it stays the same: size, times, and the settings by which it was accepted.

    None where the file changed so lately that it may change again without another time, which git calls "racily clean". Of
    the two times, programs can set back the one of the content, but not that of the entry.
    """
    try:
        found = path.stat()
    except OSError:
        return None
    if time.time_ns() - max(found.st_mtime_ns, found.st_ctime_ns) < _SETTLED:
        return None
    return f"{found.st_size} {found.st_mtime_ns} {found.st_ctime_ns} {settings}"


def _trusted(store: Path, batch: Sequence[Found]) -> dict[tuple[str, str], dict[str, Any]]:
    """(path, stamp) -> row of registered frames, but for those whose file had other content when it was decoded."""
    with reading(store) as con:
        rows = query(
            con,
            f"""
            SELECT {_COLUMNS} FROM frames
            WHERE path IN (SELECT unnest(?)) AND stamp IS NOT NULL
              AND frame_id NOT IN (SELECT item FROM rejections WHERE stage = 'frames' AND reason = 'changed')
            """,
            [[_text(entry.path) for entry in batch if isinstance(entry, Entry)]],
        )
    return {(row["path"], row["stamp"]): row for row in rows}


def _refuse_second(path: Path, frame_id: str, first: Path | None, max_bytes: int) -> None:
    """Refuses `path` if another file that still has the same content is registered for it."""
    if first is None or first == path:
        return
    try:
        same = hashlib.sha256(read(first, max_bytes)).hexdigest() == frame_id
    except Refusal:
        return  # that file is gone; this one takes its place
    if same:
        raise Refusal("duplicate", f"the same bytes as {first}")


def _row(look: _Look, known: dict[str, Any] | None) -> dict[str, Any]:
    """The row of a frame: what its entry says, and what the entry does not say but is known of the same content."""
    if isinstance(look.header, Refusal):
        raise look.header
    entry = look.entry
    stays = known is not None and known["path"] == str(entry.path) and not entry.licence
    return {
        "frame_id": look.frame_id,
        "path": str(entry.path),
        "source": known["source"] if known and stays else entry.source,
        "format": look.header.format,
        "width": look.header.width,
        "height": look.header.height,
        "bytes": look.bytes,
        "licence": entry.licence or (known["licence"] if known else ""),
        "video": entry.video or (known["video"] if known else ""),
        "moment": known["moment"] if known and entry.moment is None else entry.moment,
        "stamp": look.stamp,
    }


def _known(con: duckdb.DuckDBPyConnection, frame_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Frame id -> row of those that are registered."""
    if not frame_ids:
        return {}
    marks = ", ".join("?" * len(frame_ids))  # a list of constants is looked up in the index; a subquery reads the table
    rows = query(con, f"SELECT {_COLUMNS} FROM frames WHERE frame_id IN ({marks})", frame_ids)
    return {row["frame_id"]: row for row in rows}


def _forget_refusals(con: duckdb.DuckDBPyConnection, batch: Sequence[Found], usable: Sequence[str]) -> None:
    """Takes back what was found wrong with these files before: they have just been looked at again.

    That a content cannot be decoded stays true. It is known by the content's id.
    """
    entries = [found for found in batch if isinstance(found, Entry)]
    paths = {_text(entry.path) for entry in entries} | {entry.video for entry in entries if entry.video}
    con.execute(
        """
        DELETE FROM rejections WHERE stage = 'frames'
        AND (item = path AND item IN (SELECT unnest($paths))
             OR reason IN ('missing', 'changed') AND item IN (SELECT unnest($usable)))
        """,
        {"paths": sorted(paths), "usable": list(usable)},
    )


def _refuse_missing(store: Path, sources: Iterable[str], config: FramesConfig) -> None:
    """Rejects frames of these sources whose file is there no more; the next run that finds it again lifts that."""
    gone = Refusal("missing", "the file was registered and is not there any more")
    where = "list_contains($sources, source)"
    for page in _pages(store, "frames", "frame_id", where, {"sources": sorted(sources)}):
        missing = [(frame_id, Path(path), gone) for frame_id, path in page if not Path(path).is_file()]
        with writing(store) as con:
            record(con, missing, config.digest())


def _forget_gone(store: Path) -> None:
    """Forgets what was wrong with files that have been taken away since."""
    for page in _pages(store, "rejections", "item", "stage = 'frames' AND item = path", {}):
        gone = [item for item, path in page if not os.path.lexists(path) and not os.path.lexists(_bytes(path))]
        with writing(store) as con:
            con.execute("DELETE FROM rejections WHERE stage = 'frames' AND item IN (SELECT unnest(?))", [gone])


def _pages(
    store: Path, table: str, key: str, where: str, parameters: dict[str, object]
) -> Iterator[list[tuple[str, str]]]:
    """(key, path) of a table's rows in order of key, a page at a time."""
    last = ""
    while True:
        with reading(store) as con:
            page = con.execute(
                f"SELECT {key}, path FROM {table} WHERE {where} AND {key} > $last ORDER BY {key} LIMIT {_PAGE}",
                {"last": last, **parameters},
            ).fetchall()
        if not page:
            return
        yield page
        last = page[-1][0]


def _lies_in(item: Found, folder: Path) -> bool:
    return isinstance(item, Entry) and item.path.is_relative_to(folder)


def _text(path: Path) -> str:
    """The path as text that can be stored: bytes that are no UTF-8 are written as escapes."""
    return os.fsencode(path).decode(errors="backslashreplace")


def _bytes(text: str) -> bytes:
    """The path that `_text` wrote with escapes."""
    return re.sub(rb"\\x([89a-f][0-9a-f])", lambda escape: bytes.fromhex(escape[1].decode()), text.encode())


def batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """The items in lists of `size`, the last one shorter. Python has it from 3.12 on."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
