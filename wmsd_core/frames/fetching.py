"""What lies elsewhere, or many to a file, becomes files of the workspace: fetched and unpacked once, then as any other file.

    FETCHED/objects/AB/ADDRESS-STAMP.jpg     an object, by the SHA-256 of its address and of what stands for its content
    FETCHED/shards/ADDRESS/00000017.jpg      a member of a shard, by its number
    FETCHED/shards/ADDRESS/members.jsonl     written last: a shard that has one, and has not changed, is not opened again

A kill loses what was being written, and a rerun fetches only what is missing. An object that has changed takes the place of the
earlier one. What is deleted there stays here.
"""

import hashlib
import json
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import Field

from wmsd_core.config import Config, digest
from wmsd_core.files import replacing
from wmsd_core.frames import remote
from wmsd_core.frames.columns import About, Columns
from wmsd_core.frames.entry import Afar, Entry, Found, Listed, RefusedInput, Shard
from wmsd_core.frames.formats import IMAGES, OTHER_IMAGES, suffix_of
from wmsd_core.frames.refusal import Refusal, failed
from wmsd_core.frames.shards import is_shard, members

_IN_A_FOLDER = 10_000
_LISTING = "members.jsonl"


class FetchConfig(Config):
    """How objects behind addresses are fetched. None of it changes what is in them."""

    allow: tuple[str, ...] = ()
    """Addresses that a manifest may name, by their beginning, such as s3://bucket/images or https://example.org/pictures.
    What a manifest names otherwise is not asked for: it could be an address of your own network."""
    at_once: int = Field(default=8, ge=1, le=256)
    """Objects that are fetched side by side."""
    patience: float = Field(default=60.0, gt=0)
    """Seconds for one object, beside what its size takes at 128 KiB a second."""
    tries: int = Field(default=3, ge=1)
    """Tries for one object."""
    give_up: int = Field(default=20, ge=1)
    """Objects in a row that a server fails to send, after which the rest is refused untried; a rerun tries them again."""
    max_bytes: int = Field(default=20 * 2**30, gt=0)
    """Largest video or shard that is fetched, in bytes."""


@dataclass(frozen=True)
class Fetching:
    """Where to, and by which settings."""

    into: Path
    config: FetchConfig
    columns: Columns
    max_image: int
    """Bytes of the largest image."""

    def home(self, address: str) -> Path:
        """The folder of a shard's members."""
        return self.into / "shards" / hashlib.sha256(address.encode(errors="backslashreplace")).hexdigest()[:32]

    def file(self, one: remote.Blob) -> Path:
        """Where an object lies here."""
        name, stamp = (hashlib.sha256(text.encode()).hexdigest() for text in (one.address, one.stamp))
        return self.into / "objects" / name[:2] / f"{name[:32]}-{stamp[:8]}{suffix_of(Path(one.name))}"


def with_fetched(found: Iterable[Listed], fetching: Fetching) -> Iterator[Found]:
    """`found`, with files in place of what lies elsewhere or in shards, in the same order."""
    breaker = _Breaker(fetching.config.give_up)
    pool = ThreadPoolExecutor(fetching.config.at_once, thread_name_prefix="fetch")
    waiting: deque[tuple[Listed, Future[Path | None] | None]] = deque()
    try:
        for item in found:
            waiting.append((item, pool.submit(_brought, item, fetching, breaker) if isinstance(item, Afar) else None))
            if len(waiting) > 2 * fetching.config.at_once:
                yield from _opened(*waiting.popleft(), fetching)
        while waiting:
            yield from _opened(*waiting.popleft(), fetching)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _opened(item: Listed, coming: "Future[Path | None] | None", fetching: Fetching) -> Iterator[Found]:
    if isinstance(item, Shard):
        yield from _Unpacking(item, fetching.home(item.item), _stamp(item.path), fetching).found()
        return
    if not isinstance(item, Afar):
        yield item
        return
    assert coming is not None
    try:
        path = coming.result()
    except Exception as error:
        yield RefusedInput(item.item, fetching.file(item.blob), item.source, failed(error))
        return
    if not is_shard(item.blob.name):
        assert path is not None
        yield Entry(path, item.source, item.licence, line=item.item, names_source=item.names_source, note=item.note)
        return
    shard = Shard(fetching.file(item.blob), item.item, item.source)
    yield from _Unpacking(shard, fetching.home(item.item), item.blob.stamp, fetching).found()
    shard.path.unlink(missing_ok=True)


class _Breaker:
    """Counts what a server failed to send in a row."""

    def __init__(self, most: int) -> None:
        self._most, self._failed, self._lock = most, 0, threading.Lock()
        self._last = ""

    def check(self) -> None:
        if self._failed >= self._most:
            raise Refusal("unreachable", f"not tried, as {self._most} in a row failed, the last by {self._last}")

    def count(self, failure: Refusal | None) -> None:
        with self._lock:
            self._failed = self._failed + 1 if failure else 0
            self._last = failure.detail if failure else ""


def _brought(item: Afar, fetching: Fetching, breaker: _Breaker) -> Path | None:
    """The object's file, fetched if need be; None for a shard whose members are here."""
    one, file = item.blob, fetching.file(item.blob)
    if is_shard(one.name) and listed(fetching.home(item.item), one.stamp, fetching) is not None:
        return None
    if file.is_file():
        return file
    suffix = suffix_of(Path(one.name))
    most = fetching.max_image if suffix in IMAGES or suffix in OTHER_IMAGES else fetching.config.max_bytes
    breaker.check()
    for attempt in range(fetching.config.tries):
        try:
            with replacing(file) as partial:
                remote.fetch(one, partial, patience=fetching.config.patience, most_bytes=most)
            break
        except Refusal as refusal:
            final = refusal.reason != "unreachable" or attempt + 1 == fetching.config.tries
            if isinstance(refusal.__cause__, FileNotFoundError | PermissionError):
                raise  # the server has answered
            if final:
                breaker.count(refusal if refusal.reason == "unreachable" else None)
                raise
            time.sleep(0.5 * 2**attempt)
    breaker.count(None)
    for earlier in file.parent.glob(f"{file.name[:32]}-*"):
        if earlier != file and not earlier.name.endswith(".partial"):
            earlier.unlink(missing_ok=True)
    return file


@dataclass(frozen=True)
class _Line:
    """What the listing of a shard holds of a member."""

    name: str
    file: str
    about: dict[str, str]
    refusal: tuple[str, str] | None = None


@dataclass(frozen=True)
class _Unpacking:
    """A shard whose members become files of `home`; `stamp` stands for its content."""

    shard: Shard
    home: Path
    stamp: str
    fetching: Fetching

    def found(self) -> Iterator[Found]:
        """Its members, from the listing where there is one of this content. What ends it too early is told last, and leaves
        no listing."""
        if (listing := listed(self.home, self.stamp, self.fetching)) is not None:
            yield from map(self._entry, listing)
            return
        before = {file for file in self.home.rglob("*") if file.is_file()}
        try:
            with replacing(self.home / _LISTING) as partial, partial.open("w", encoding="utf-8") as told:
                told.write(_head(self.stamp, self.fetching) + "\n")
                for line in self._written():
                    before.discard(self.home / line.file)
                    told.write(json.dumps(asdict(line)) + "\n")
                    yield self._entry(line)
        except (Refusal, ValueError, OSError) as error:
            yield RefusedInput(self.shard.item, self.shard.path, self.shard.source, failed(error))
            return
        for gone in before - {self.home / _LISTING}:  # an earlier content of the shard had more
            gone.unlink(missing_ok=True)

    def _written(self) -> Iterator[_Line]:
        held = members(self.shard.path, self.fetching.columns, self.fetching.max_image)
        for number, member in enumerate(held):
            file = f"{number // _IN_A_FOLDER:04d}/{number:08d}{member.suffix}"
            if isinstance(member.content, Refusal):
                refusal = member.content.reason, member.content.detail
                yield _Line(member.name, file, asdict(member.about), refusal)
                continue
            with replacing(self.home / file) as partial:
                partial.write_bytes(member.content)
            yield _Line(member.name, file, asdict(member.about))

    def _entry(self, line: _Line) -> Found:
        item, path = f"{self.shard.item}:{line.name}", self.home / line.file
        if line.refusal:
            return RefusedInput(item, path, self.shard.source, Refusal(*line.refusal))
        said = About(**line.about)
        source = said.source or self.shard.source
        return Entry(path, source, said.licence, line=item, names_source=bool(said.source), note=said.note)


def listed(home: Path, stamp: str, fetching: Fetching) -> list[_Line] | None:
    """The members of a shard that was unpacked before, if it was this content by these settings, and the files are there."""
    try:
        head, *lines = (home / _LISTING).read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return None
    if not stamp or head != _head(stamp, fetching):
        return None
    found = [_Line(**json.loads(line)) for line in lines]
    return found if all(line.refusal or (home / line.file).is_file() for line in found) else None


def _head(stamp: str, fetching: Fetching) -> str:
    return json.dumps([stamp, digest([fetching.columns.identity(), fetching.max_image])])


def _stamp(path: Path) -> str:
    try:
        found = path.stat()
    except OSError:
        return ""
    return f"{found.st_size} {found.st_mtime_ns} {found.st_ctime_ns}"
