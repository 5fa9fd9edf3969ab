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
from wmsd_core.frames import ledger, remote
from wmsd_core.frames.columns import Columns
from wmsd_core.frames.content import MOST_BYTES, read
from wmsd_core.frames.entry import Afar, Entry, Found, Ignored, Listed, RefusedInput, Watched, stored_path
from wmsd_core.frames.fetching import FetchConfig, Fetching, with_fetched
from wmsd_core.frames.formats import suffix_of
from wmsd_core.frames.header import Header, read_header
from wmsd_core.frames.ledger import Fate, LedgerLine
from wmsd_core.frames.refusal import Refusal, failed, record
from wmsd_core.frames.sources import checked, several
from wmsd_core.frames.videos import Report, VideoConfig, with_frames_of_videos
from wmsd_core.store import insert, query, reading, writing
from wmsd_core.unicode import storable

BATCH = 1000
_AHEAD = 10_000
"""Inputs whose paths are looked up in the store together: each look reads the paths of all frames."""
_PAGE = 100_000
"""Rows that are held at once when stored paths are checked."""
_SETTLED = 2 * 10**9
"""Nanoseconds after which a file that changes again is sure to have another time: file systems count in steps of up to 2 s."""

_COLUMNS = "frame_id, path, source, format, width, height, bytes, licence, video, moment, stamp"

T = TypeVar("T")


class FramesConfig(Config):
    """What counts as a usable image file, and which frames are taken of videos."""

    incidental = frozenset({"trust_timestamps", "fetch"})

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
    columns: Columns = Columns()
    """What the columns of manifests, and of tables with pictures inside, are called."""
    fetch: FetchConfig = FetchConfig()
    """How what lies behind addresses is fetched."""


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
    """Files that are neither images nor videos."""


def register(
    store: Path,
    frames: str | Path | Sequence[str],
    config: FramesConfig,
    *,
    videos: Path | None = None,
    fetched: Path | None = None,
    report: Report = lambda text: None,
) -> Registered:
    """Registers what a source holds, or several: see `source_of` for what it can be, and `register_entries` for how.

    Frames of videos are written below `videos`, what is fetched or unpacked below `fetched`: folders beside the store if none
    are given.

    Raises:
        ValueError: there is no such source, or no image and no video in it.
        StoreError: the store cannot be used.
    """
    given = [frames] if isinstance(frames, str | Path) else frames
    source = checked(several(given, config.columns, config.fetch.allow))
    with writing(store) as con:  # the lines of a manifest have no identity but their number, and may all have moved
        for part in source.sources:
            name = part.name if remote.is_address(part.name) else stored_path(Path(part.name))
            con.execute("DELETE FROM rejections WHERE stage = 'frames' AND starts_with(item, ?)", [f"{name}:"])
            ledger.forget(con, name)
    into = (videos or store.parent / "video_frames").resolve()
    home = (fetched or store.parent / "fetched").resolve()
    # The workspace may be below a given folder.
    listed = (item for item in source.found() if not (_lies_in(item, into) or _lies_in(item, home)))
    found = with_fetched(listed, Fetching(home, config.fetch, config.columns, config.max_bytes))
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
    for ahead in batches(entries, _AHEAD):
        there = _there(store, ahead)
        for batch in batches(_unsettled(ahead, there, config, tally), BATCH):
            _register_batch(store, batch, there, config, tally)
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
    manifests: set[str] = field(default_factory=set)
    """Those whose lines were met so far."""

    @property
    def files(self) -> int:
        return self.new + self.known + self.rejected.total()

    def count(self, *, known: bool) -> None:
        """One file more."""
        self.known, self.new = self.known + known, self.new + (not known)


@dataclass(frozen=True)
class _Look:
    """What a file's bytes say: kept instead of the bytes, of which a batch could hold gigabytes."""

    entry: Entry
    frame_id: str
    bytes: int
    header: Header | Refusal
    stamp: str | None


_There = dict[str, list[dict[str, Any]]]
"""Path -> rows of the frames that are registered there, with `changed`, and `settled`: the ledger says so too."""


def _there(store: Path, ahead: Sequence[Found]) -> _There:
    """What the store knows of the paths of these inputs."""
    with reading(store) as con:
        rows = query(
            con,
            f"""
            SELECT {_COLUMNS},
                   frame_id IN (SELECT item FROM rejections WHERE stage = 'frames' AND reason = 'changed') AS changed,
                   path IN (SELECT item FROM files WHERE fate = 'registered' AND reason = '' AND path = item)
                   AND frame_id NOT IN (
                       SELECT item FROM rejections WHERE stage = 'frames' AND reason IN ('missing', 'changed')
                   )
                   AND path NOT IN (SELECT item FROM rejections WHERE stage = 'frames') AS settled
            FROM frames WHERE path IN (SELECT unnest(?))
            """,
            [[stored_path(entry.path) for entry in ahead if isinstance(entry, Entry)]],
        )
    found: _There = {}
    for row in rows:
        found.setdefault(row["path"], []).append(row)
    return found


def _unsettled(ahead: Sequence[Found], there: _There, config: FramesConfig, tally: _Tally) -> Iterator[Found]:
    """The inputs of which there is anything to write. The others are counted: files that are as they were, of which nothing
    is said but their path."""
    settings = config.digest()
    for found in ahead:
        rows = there.get(str(found.path), []) if config.trust_timestamps else []
        if (
            isinstance(found, Entry)
            and any(row["settled"] and row["stamp"] for row in rows)
            and found == Entry(found.path, found.source)
        ):
            stamp = _stamp(found.path, settings)
            if any(row["settled"] and row["stamp"] == stamp for row in rows):
                tally.sources.add(storable(found.source))
                tally.count(known=True)
                continue
        yield found


def _register_batch(store: Path, batch: Sequence[Found], there: _There, config: FramesConfig, tally: _Tally) -> None:
    trusted = _trusted(there) if config.trust_timestamps else {}
    made = _Batch(config, tally)
    for found in batch:
        made.look(found, trusted)
    with reading(store) as con:
        known = _known(con, [look.frame_id for look in made.looks])
        claims = _claims(con, made.looks, known, tally.manifests)
    made.decide(known, claims)
    tally.manifests.update(_manifest(found.line) for found in batch if isinstance(found, Entry) and found.line)
    tally.rejected.update(refusal.reason for *_, refusal in made.refused)
    with writing(store) as con:
        _forget_refusals(con, batch, made.usable)
        insert(con, "frames", list(made.rows.values()), replace=True)
        record(con, [*made.refused, *_overwritten(con, made.looks, there, trusted)], config.digest())
        ledger.write(con, made.lines)


class _Batch:
    """What inputs come to: rows, refusals and lines of the ledger, until they are stored together."""

    def __init__(self, config: FramesConfig, tally: _Tally) -> None:
        self.looks: list[_Look] = []
        self.rows: dict[str, dict[str, Any]] = {}
        """Frame id -> row, of those that are new or say something new."""
        self.usable: list[str] = []
        self.refused: list[tuple[str, Path, Refusal]] = []
        self.lines: list[LedgerLine] = []
        self._config, self._settings, self._tally = config, config.digest(), tally

    def look(self, found: Found, trusted: dict[tuple[str, str], dict[str, Any]]) -> None:
        """Takes one input in; of a file, what its bytes say."""
        if not isinstance(found, Ignored):
            self._tally.sources.add(storable(found.source))
        match found:
            case Ignored(path, detail, address):
                self._tally.ignored += 1
                self._line(address or stored_path(path), path, "ignored", "", storable(detail))
            case RefusedInput(item, path, _, refusal):
                self._refuse(item, item, path, refusal, has_line=True)
            case Watched(item, path, _, frames, damage):
                if damage:
                    self.refused.append((stored_path(path), Path(stored_path(path)), damage))
                detail = f"{frames} frames" + (f"; {damage.detail}" if damage else "")
                self._line(item, path, "registered" if frames else "rejected", damage.reason if damage else "", detail)
            case Entry(path):
                try:
                    self.looks.append(_look(found, self._config, self._settings, trusted))
                except Exception as error:
                    self._refuse(found.item, stored_path(path), path, failed(error), has_line=found.input)

    def decide(self, known: dict[str, dict[str, Any]], claims: dict[str, str]) -> None:
        """Makes rows or refusals of what was looked at, in order: of several files with one content the first is kept.

        `known` has the rows of contents that are registered, `claims` the lines that named them first in this run.
        """
        before, known, claims = known, known.copy(), claims.copy()
        kept = {frame_id: Path(row["path"]) for frame_id, row in known.items()}
        for look in self.looks:
            entry, frame_id = look.entry, look.frame_id
            try:
                against = _contradiction(entry, known.get(frame_id), claims.get(frame_id))
                _refuse_second(entry.path, frame_id, kept.get(frame_id), self._config.max_bytes, against)
                if against:
                    raise Refusal("contradiction", against)
                row = _row(look, known.get(frame_id))
            except Exception as error:
                refusal = failed(error)
                told = entry.line if refusal.reason == "contradiction" else stored_path(entry.path)
                self._refuse(entry.item, told, entry.path, refusal, has_line=entry.input, frame_id=frame_id)
                continue
            self._tally.count(known=frame_id in kept)
            kept[frame_id], known[frame_id] = entry.path, row
            if entry.line:
                claims.setdefault(frame_id, entry.line)
            self._register(look, row, before.get(frame_id))

    def _register(self, look: _Look, row: dict[str, Any], before: dict[str, Any] | None) -> None:
        entry, frame_id = look.entry, look.frame_id
        self.usable.append(frame_id)
        if row != before:
            self.rows[frame_id] = row
        if entry.input:
            note = "value_left_out" if entry.note else ""
            self._line(entry.item, entry.path, "registered", note, entry.note, frame_id)

    def _refuse(
        self, item: str, told: str, path: Path, refusal: Refusal, *, has_line: bool, frame_id: str = ""
    ) -> None:
        """Among rejections a file is known by its path (`told`), in the ledger by the line that named it (`item`)."""
        self.refused.append((told, Path(stored_path(path)), refusal))
        if has_line:
            self._line(item, path, "rejected", refusal.reason, refusal.detail, frame_id)

    def _line(self, item: str, path: Path, fate: Fate, reason: str, detail: str, frame_id: str = "") -> None:
        self.lines.append(LedgerLine(item, stored_path(path), fate, reason, detail, frame_id))


def _claims(
    con: duckdb.DuckDBPyConnection, looks: Sequence[_Look], known: dict[str, dict[str, Any]], manifests: set[str]
) -> dict[str, str]:
    """Frame id -> the line that named it first in this run, where a later one contradicts what is stored."""
    wanted = [look.frame_id for look in looks if _contradiction(look.entry, known.get(look.frame_id), "another")]
    if not wanted or not manifests:
        return {}
    rows = con.execute(
        "SELECT frame_id, item FROM files WHERE fate = 'registered' AND item <> path AND frame_id IN (SELECT unnest(?))",
        [wanted],
    ).fetchall()
    return {frame_id: item for frame_id, item in rows if _manifest(item) in manifests}


def _contradiction(entry: Entry, known: dict[str, Any] | None, first: str | None) -> str:
    """What a line says of a content against the line that named it first in the same run; the first one wins, so that a
    rerun ends with the same. A manifest of another run may say something new."""
    if known is None or first is None or not entry.line or entry.line == first:
        return ""
    told: list[str] = []
    if entry.licence and known["licence"] and entry.licence != known["licence"]:
        told.append(f"licence '{entry.licence}', and not '{known['licence']}'")
    if entry.names_source and entry.source != known["source"] and known["source"] != _manifest(first):
        told.append(f"source '{entry.source}', and not '{known['source']}'")
    return f"it says {' and '.join(told)} as {first} does, which came first" if told else ""


def _manifest(line: str) -> str:
    return line.rpartition(":")[0]


def _overwritten(
    con: duckdb.DuckDBPyConnection,
    looks: Sequence[_Look],
    there: _There,
    trusted: dict[tuple[str, str], dict[str, Any]],
) -> list[tuple[str, Path, Refusal]]:
    """Frames whose file has been read and holds other content now; that content is a frame of its own."""
    read = {str(look.entry.path) for look in looks if (str(look.entry.path), look.stamp or "") not in trusted}
    ids = {look.frame_id for look in looks}
    suspects = sorted({row["frame_id"] for path in read for row in there.get(path, [])} - ids)
    now = _known(con, suspects)  # another path of this run may hold that content, and have been registered for it
    gone = Refusal("missing", "the file has been overwritten, and holds another picture now")
    return [(frame_id, Path(row["path"]), gone) for frame_id, row in now.items() if row["path"] in read]


def _look(entry: Entry, config: FramesConfig, settings: str, trusted: dict[tuple[str, str], dict[str, Any]]) -> _Look:
    """What a file is: by its bytes, or by the row of `trusted` that was made when it was as it is now."""
    if stored_path(entry.path) != str(entry.path):
        raise Refusal("bad_name", "the name is not UTF-8, so it cannot be stored; rename the file")
    stamp = _stamp(entry.path, settings)  # before the file is read: one that changes meanwhile is looked at again
    if known := trusted.get((str(entry.path), stamp or "")):
        header = Header(known["format"], known["width"], known["height"])
        return _Look(entry, known["frame_id"], known["bytes"], header, stamp)
    data = read(entry.path, config.max_bytes)
    try:
        header: Header | Refusal = read_header(
            data,
            suffix_of(entry.path),
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


def _trusted(there: _There) -> dict[tuple[str, str], dict[str, Any]]:
    """(path, stamp) -> row of registered frames, but for those whose file had other content when it was decoded."""
    rows = (row for rows in there.values() for row in rows)
    return {(row["path"], row["stamp"]): row for row in rows if row["stamp"] and not row["changed"]}


def _refuse_second(path: Path, frame_id: str, first: Path | None, max_bytes: int, against: str) -> None:
    """Refuses `path` if another file that still has the same content is registered for it; `against` is what its line says
    against the first one's."""
    if first is None or first == path:
        return
    try:
        same = hashlib.sha256(read(first, max_bytes)).hexdigest() == frame_id
    except Refusal:
        return  # that file is gone; this one takes its place
    if same:
        raise Refusal("duplicate", f"the same bytes as {first}" + (f"; {against}" if against else ""))


def _row(look: _Look, known: dict[str, Any] | None) -> dict[str, Any]:
    """The row of a frame: what its entry says, and what the entry does not say but is known of the same content."""
    if isinstance(look.header, Refusal):
        raise look.header
    entry = look.entry
    same = known is not None and known["path"] == str(entry.path)
    news = entry.names_source or (entry.licence and not (known and known["licence"]))
    stays = same and not news
    return {
        "frame_id": look.frame_id,
        "path": str(entry.path),
        "source": known["source"] if known and stays else entry.source,
        "format": look.header.format,
        "width": look.header.width,
        "height": look.header.height,
        "bytes": look.bytes,
        "licence": entry.licence or (known["licence"] if known else ""),
        "video": _video(entry, known if same else None) or (known["video"] if known else ""),
        "moment": known["moment"] if known and entry.moment is None else entry.moment,
        "stamp": look.stamp,
    }


def _video(entry: Entry, known: dict[str, Any] | None) -> str:
    """The video of a frame: of two with the same content the one that was there before, as long as it is."""
    video = storable(entry.video)
    if known and known["video"] and known["video"] != video and Path(known["video"]).is_file():
        return known["video"]
    return video


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
    paths = {stored_path(entry.path) for entry in entries} | {storable(entry.video) for entry in entries if entry.video}
    con.execute(
        """
        DELETE FROM rejections WHERE stage = 'frames'
        AND (item = path AND item IN (SELECT unnest($paths)) OR item IN (SELECT unnest($lines))
             OR reason IN ('missing', 'changed') AND item IN (SELECT unnest($usable)))
        """,
        {"paths": sorted(paths), "lines": [entry.line for entry in entries if entry.line], "usable": list(usable)},
    )


def _refuse_missing(store: Path, sources: Iterable[str], config: FramesConfig) -> None:
    """Rejects frames of these sources whose file is there no more; the next run that finds it again lifts that."""
    gone = Refusal("missing", "the file was registered and is not there any more")
    where = "list_contains($sources, source)"
    for page in _pages(store, "frames", "frame_id", where, {"sources": sorted(sources)}):
        missing = [(frame_id, Path(path), gone) for frame_id, path in page if not os.path.isfile(path)]  # noqa: PTH113 - of pathlib's, it takes a tenth
        if missing:
            with writing(store) as con:
                record(con, missing, config.digest())


def _forget_gone(store: Path) -> None:
    """Forgets what was said of files that have been taken away since."""
    for page in _pages(store, "rejections", "item", "stage = 'frames' AND item = path", {}):
        gone = [item for item, path in page if not os.path.lexists(path) and not os.path.lexists(_bytes(path))]
        if gone:
            with writing(store) as con:
                con.execute("DELETE FROM rejections WHERE stage = 'frames' AND item IN (SELECT unnest(?))", [gone])
    for page in _pages(store, "files", "item", "item = path", {}):
        gone = [item for item, path in page if not os.path.lexists(path) and not os.path.lexists(_bytes(path))]
        if gone:
            with writing(store) as con:
                con.execute("DELETE FROM files WHERE item IN (SELECT unnest(?))", [gone])


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
        if page:
            yield page
        if len(page) < _PAGE:
            return
        last = page[-1][0]


def _lies_in(item: Listed, folder: Path) -> bool:
    return not isinstance(item, Afar) and item.path.is_relative_to(folder)


def _bytes(text: str) -> bytes:
    """The path that `stored_path` wrote with escapes."""
    return re.sub(rb"\\x([89a-f][0-9a-f])", lambda escape: bytes.fromhex(escape[1].decode()), text.encode())


def batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """The items in lists of `size`, the last one shorter. Python has it from 3.12 on."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
