"""The dataset as files for others: Parquet, JSON lines, DuckDB and the published layout, with pictures and a card.

    OUT/README.md, card.html, card/          the dataset card and its pictures
    OUT/manifest.json                        checksums of all files, versions, settings
    OUT/{split}/images/ab/abcd....png        pictures, named by their SHA-256
    OUT/data/{split}-00000-of-00002.parquet  parquet: records of schema worldtask/1
    OUT/data/{split}.jsonl                   jsonl: the same
    OUT/{split}/{split}.jsonl                worldtasks: the layout of the published WorldTasks, flat lines
    OUT/worldtasks.duckdb                    duckdb: tables `frames` and `pairs`

Everything but the DuckDB file and the card is the same to the byte for the same pairs.
"""

import hashlib
import os
import shutil
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import duckdb
from pydantic import Field

from wmsd_core import __version__
from wmsd_core.config import Config, digest
from wmsd_core.files import sha256
from wmsd_core.frames.content import MOST_BYTES, read
from wmsd_core.frames.refusal import Refusal
from wmsd_core.publication import publishing, write_manifest
from wmsd_core.store import reading
from wmsd_core.worldtasks.card import About, write_card
from wmsd_core.worldtasks.leaks import complaint, drop_training_frames, find_leaks
from wmsd_core.worldtasks.snapshot import FLAT, RECORD, SCHEMA, copy, snapshot
from wmsd_core.worldtasks.splits import SplitConfig
from wmsd_core.worldtasks.tags import waiting

Format = Literal["parquet", "jsonl", "duckdb", "worldtasks"]
SPLITS = ("train", "bench")
BATCH = 1000
_PER_PAIR = 4000
"""Bytes of text of a pair, in all formats together, at most: for the look at the disk before work begins."""


class ExportConfig(Config):
    """What is written, and how."""

    formats: tuple[Format, ...] = Field(default=("parquet", "jsonl"), min_length=1)
    """Any of parquet, jsonl, duckdb and worldtasks."""
    images: Literal["copy", "link", "reference"] = "copy"
    """Copy pictures into the export, make hard links (no space, same disk only), or refer to them where they are."""
    rows_per_file: int = Field(default=500_000, ge=1)
    """Pairs per Parquet file: about 300 MB of text."""
    leaks: Literal["refuse", "drop"] = "refuse"
    """What happens where train and bench are not apart: nothing is written, or the training frames concerned are taken out of
    the set for good, which is how a set that somebody else divided is mended."""
    title: str = "WorldTasks"
    """Name of the dataset, on its card."""
    licence: str = "other"
    """Licence of the dataset as the Hugging Face Hub spells it; those of the pictures are listed by source."""


@dataclass(frozen=True)
class Exported:
    """What was written."""

    folder: Path
    train: int
    """Training pairs."""
    bench: int
    """Benchmark pairs."""
    frames: int
    left_out: dict[str, int]
    """Pictures that could not be read, by reason; their pairs are left out."""
    bytes: int
    dropped: int = 0
    """Training frames taken out because they are in the benchmark as well."""
    waiting: int = 0
    """Frames and pairs that a person's tags turn down or bring back, which the next selection acts on: not this export."""


def export(store: Path, out: Path, config: ExportConfig, splitting: SplitConfig, *, threads: int = 2) -> Exported:
    """Writes the pairs of train and bench to the folder `out`, in place of an earlier export there.

    Raises:
        ValueError: train and bench are not apart, there are no pairs, `out` holds other files, or the disk is too full.
        StoreError: there is no store.
    """
    if leaks := find_leaks(store, splitting.near, splitting.leaks, threads=threads):
        if config.leaks == "refuse":
            raise ValueError(f"nothing was exported: {complaint(leaks)}")
        dropped = drop_training_frames(store, leaks, splitting.digest())
    else:
        dropped = 0
    with reading(store) as con:
        tagged = waiting(con)
    with publishing(out) as folder:
        database = folder / "worldtasks.duckdb"
        try:
            with snapshot(store, database) as con:
                _check_room(con, folder, out, config)
                left_out = _place_images(con, folder, out, config, threads)
                if not con.execute("SELECT count(*) FROM pairs").fetchall()[0][0]:
                    why = ", ".join(f"{number} {reason}" for reason, number in left_out.items())
                    raise ValueError(
                        f"nothing was exported: no picture can be read ({why}). If they were moved, `wmsd verify` finds them "
                        "and says how to mend it; an earlier export is kept"
                    )
                for split in SPLITS:
                    _write_records(con, folder, split, config)
                counts = dict(con.execute("SELECT split, count(*) FROM pairs GROUP BY split").fetchall())
                frames = con.execute("SELECT count(*) FROM frames").fetchall()[0][0]
                card = _about(folder, config, counts, left_out)
                write_card(store, con, folder, card)
        except duckdb.Error as error:
            raise ValueError(f"cannot write {out}: {str(error).splitlines()[0]}. An earlier export is kept") from error
        shutil.rmtree(database.with_suffix(".spill"), ignore_errors=True)
        if "duckdb" not in config.formats:
            database.unlink()
        about = {"schema": SCHEMA, "code_version": __version__, "settings": config.model_dump(mode="json")}
        write_manifest(folder, {**about, "identity": card.identity, "pairs": counts, "left_out": left_out})
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return Exported(out, counts.get("train", 0), counts.get("bench", 0), frames, left_out, size, dropped, tagged)


def _check_room(con: duckdb.DuckDBPyConnection, folder: Path, out: Path, config: ExportConfig) -> None:
    images, pairs = con.execute("SELECT (SELECT sum(bytes) FROM frames), (SELECT count(*) FROM pairs)").fetchall()[0]
    needed = pairs * _PER_PAIR + (images if config.images == "copy" else 0)
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise ValueError(
            f"the export needs about {needed / 2**20:.0f} MiB and the disk of {out} has {free / 2**20:.0f}; free some "
            "space, choose another folder, or set export.images=link"
        )


def _place_images(
    con: duckdb.DuckDBPyConnection, folder: Path, out: Path, config: ExportConfig, threads: int
) -> dict[str, int]:
    """Puts pictures in their place and writes the place into `frames`; leaves out those whose file is not as registered."""
    if config.images == "reference":
        con.execute("UPDATE frames SET path = origin")
    else:
        con.execute("UPDATE frames SET path = split || '/' || file")
    refused: dict[str, Refusal] = {}
    total = con.execute("SELECT count(*) FROM frames").fetchall()[0][0]
    place = partial(_place, folder=folder, out=out, how=config.images)
    with ThreadPoolExecutor(threads) as pool:
        for start in range(0, total, BATCH):
            sql = "SELECT sha256, origin, path FROM frames WHERE rowid BETWEEN ? AND ?"
            rows = con.execute(sql, [start, start + BATCH - 1]).fetchall()
            refused |= {row[0]: refusal for row, refusal in zip(rows, pool.map(place, rows), strict=True) if refusal}
    for table in ("pairs", "frames"):
        con.execute(f"DELETE FROM {table} WHERE sha256 IN (SELECT unnest($ids))", {"ids": list(refused)})
    con.execute("ALTER TABLE frames DROP COLUMN origin; ALTER TABLE frames DROP COLUMN file")
    return dict(Counter(refusal.reason for refusal in refused.values()))


def _place(row: tuple[str, str, str], folder: Path, out: Path, how: str) -> Refusal | None:
    """Copies or links one picture, after a look at its bytes; what is wrong with it, if anything is."""
    sha256, origin, path = row
    try:
        data = read(Path(origin), MOST_BYTES)
    except Refusal as refusal:
        return refusal
    if hashlib.sha256(data).hexdigest() != sha256:
        return Refusal("changed", "the file has other content than when it was registered")
    if how == "reference":
        return None
    target = folder / path
    target.parent.mkdir(parents=True, exist_ok=True)
    if how == "copy":
        target.write_bytes(data)
        return None
    try:
        os.link(Path(origin).resolve(), target)
    except OSError as error:
        raise ValueError(
            f"no hard link to {origin} can be made from {out}: {error.strerror}; set export.images=copy"
        ) from error
    return None


def _write_records(con: duckdb.DuckDBPyConnection, folder: Path, split: str, config: ExportConfig) -> None:
    first, last, rows = con.execute(
        "SELECT min(rowid), max(rowid), count(*) FROM pairs WHERE split = ?", [split]
    ).fetchall()[0]
    if not rows:
        return
    mine = f"p.split = '{split}'"
    if "parquet" in config.formats:
        starts = range(first, last + 1, config.rows_per_file)
        for number, start in enumerate(starts):
            name = f"{split}-{number:05d}-of-{len(starts):05d}.parquet"
            part = f"{mine} AND p.rowid >= {start} AND p.rowid < {start + config.rows_per_file}"
            copy(con, RECORD, part, folder / "data" / name, "FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 20480")
    if "jsonl" in config.formats:
        copy(con, RECORD, mine, folder / "data" / f"{split}.jsonl", "FORMAT json")
    if "worldtasks" in config.formats:
        image = "path" if config.images == "reference" else f"path[{len(split) + 2}:]"
        copy(con, FLAT.format(path=image), mine, folder / split / f"{split}.jsonl", "FORMAT json")


def _about(folder: Path, config: ExportConfig, counts: dict[str, int], left_out: dict[str, int]) -> About:
    patterns = {
        "parquet": "data/{0}-*.parquet",
        "jsonl": "data/{0}.jsonl",
        "worldtasks": "{0}/{0}.jsonl",
    }
    pattern = next((pattern for form, pattern in patterns.items() if form in config.formats), None)
    pictures = {
        "copy": "Pictures lie in `{split}/images/`, each once.",
        "link": "Pictures lie in `{split}/images/`, each once.",
        "reference": "Pictures are not part of this folder: `image.path` says where they lay when it was written.",
    }
    files = {split: pattern.format(split) for split in SPLITS if split in counts} if pattern else {}
    return About(
        title=config.title,
        licence=config.licence,
        files=files,
        identity=digest([sha256(path) for name in files.values() for path in sorted(folder.glob(name))])
        if files
        else "",
        pictures=pictures[config.images],
        inside=config.images != "reference",
        left_out=left_out,
    )
