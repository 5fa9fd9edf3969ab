"""The first stage: a folder's images become rows of `frames`, what cannot be used rows of `rejections`."""

import hashlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from wmsd_core.config import Config
from wmsd_core.frames.header import Header, read_bytes, read_header
from wmsd_core.frames.refusal import Refusal, record
from wmsd_core.frames.scan import scan
from wmsd_core.store import insert, writing

BATCH = 256


class FramesConfig(Config):
    """What counts as a usable image file."""

    max_pixels: int = Field(default=64_000_000, gt=0)
    """Largest width x height that is decoded; a larger header is refused as a decompression bomb."""
    max_bytes: int = Field(default=200_000_000, gt=0)
    """Largest file that is read, in bytes."""
    require_matching_extension: bool = True
    """Refuse a file whose content has another format than its name says; switch off for images scraped from the web."""


@dataclass(frozen=True)
class Registered:
    """What a walk found. `files` = `new` + `known` + the sum of `rejected`."""

    files: int
    new: int
    known: int
    rejected: dict[str, int]
    ignored: int
    """Files that are no images by their name."""


def register(store: Path, folder: Path, cfg: FramesConfig) -> Registered:
    """Registers the images of `folder`. Content is identified by SHA-256 and kept once: the first path in order.

    A rerun hashes every file again but inspects new content only, and judges every file of the folder afresh; a frame
    whose file has moved gets its new path.

    Raises:
        ValueError: there is no such folder, or no image in it.
        StoreError: the store cannot be used.
    """
    found = scan(folder)
    source = str(found.folder)
    with writing(store) as con:
        # What a former walk found wrong with files, which may have been mended since. That a content cannot be decoded
        # stays true: it is known by the content's id.
        con.execute(
            """
            DELETE FROM rejections WHERE stage = 'frames' AND starts_with(path, ?)
            AND (item = path OR reason IN ('missing', 'changed'))
            """,
            [f"{source}/"],
        )
        known = dict(con.execute("SELECT frame_id, path FROM frames").fetchall())
    counts: Counter[str] = Counter()
    rejected: Counter[str] = Counter()
    kept: dict[str, str] = {}
    for start in range(0, len(found.files), BATCH):
        rows: list[dict[str, object]] = []
        refused: list[tuple[str, Path, Refusal]] = []
        for path in found.files[start : start + BATCH]:
            try:
                data = read_bytes(path, within=found.folder, max_bytes=cfg.max_bytes)
                frame_id = hashlib.sha256(data).hexdigest()
                _refuse_second(path, frame_id, kept.get(frame_id) or known.get(frame_id))
                header = read_header(
                    data,
                    path.suffix,
                    max_pixels=cfg.max_pixels,
                    require_matching_suffix=cfg.require_matching_extension,
                )
            except Refusal as refusal:
                rejected[refusal.reason] += 1
                refused.append((str(path), path, refusal))
                continue
            kept[frame_id] = str(path)
            counts["known" if frame_id in known else "new"] += 1
            if known.get(frame_id) != str(path):
                rows.append(_row(frame_id, path, source, header, len(data)))
        with writing(store) as con:
            insert(con, "frames", rows, replace=True)
            record(con, refused, cfg.digest())
    _refuse_missing(store, source, cfg)
    return Registered(len(found.files), counts["new"], counts["known"], dict(rejected), found.ignored)


def _refuse_missing(store: Path, source: str, cfg: FramesConfig) -> None:
    """Rejects frames of the folder whose file is there no more; the next walk that finds it again lifts that."""
    with writing(store) as con:
        rows = con.execute("SELECT frame_id, path FROM frames WHERE source = ?", [source]).fetchall()
        gone = Refusal("missing", "the file was registered and is not there any more")
        record(con, [(name, Path(path), gone) for name, path in rows if not Path(path).is_file()], cfg.digest())


def _refuse_second(path: Path, frame_id: str, first: str | None) -> None:
    """Refuses `path` if another file that still has the same content is registered for it."""
    if first is None or first == str(path):
        return
    try:
        same = hashlib.sha256(Path(first).read_bytes()).hexdigest() == frame_id
    except OSError:
        return  # that file is gone; this one takes its place
    if same:
        raise Refusal("duplicate", f"the same bytes as {first}")


def _row(frame_id: str, path: Path, source: str, header: Header, size: int) -> dict[str, object]:
    return {
        "frame_id": frame_id,
        "path": str(path),
        "source": source,
        "format": header.format,
        "width": header.width,
        "height": header.height,
        "bytes": size,
    }
