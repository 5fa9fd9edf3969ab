"""A dataset in the published layout becomes rows of the store: its pictures frames, its pairs task pairs, its splits kept.

What is incomplete is skipped and counted with its reason; a pair that the store has is skipped too. An imported split
outlives every configuration (`splits.GIVEN`).
"""

import hashlib
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from wmsd_core.frames import Entry, FramesConfig, ledger, register_entries
from wmsd_core.frames.content import read
from wmsd_core.frames.entry import Found
from wmsd_core.frames.refusal import Refusal, failed
from wmsd_core.frames.register import batches
from wmsd_core.store import insert, writing
from wmsd_core.store.funnel import reject
from wmsd_core.worldtasks.generation import pair_id
from wmsd_core.worldtasks.layout import Fault, Given, ImportConfig, Layout, Line, origin
from wmsd_core.worldtasks.splits import GIVEN
from wmsd_core.worldtasks.tags import drop_tagged

BATCH = 1000
_PAIR = re.compile(r"(?<=\d) \d+$")
"""Behind the name of a line: which of its pairs."""


@dataclass(frozen=True)
class Imported:
    """What a folder held."""

    frames: int
    """New images."""
    pairs: int
    """New pairs."""
    known: int
    """Pairs that the store had before."""
    train: int
    bench: int
    """New pairs by split."""
    skipped: dict[str, int]
    """Lines and pairs that could not be used, by reason."""


def import_folder(store: Path, folder: Path, config: ImportConfig, scan: FramesConfig) -> Imported:
    """Registers the pictures that the lines of `folder` name and stores their pairs, in batches.

    Raises:
        ValueError: `folder` is not in the layout.
        StoreError: the store cannot be used.
    """
    layout = Layout(folder, config)
    registered = register_entries(store, _entries(layout), scan)
    tally: Counter[str] = Counter()
    skipped: Counter[str] = Counter()
    with writing(store) as con:
        for file in layout.files.values():
            sql = "DELETE FROM rejections WHERE stage = 'generate' AND starts_with(item, $name || ':')"
            con.execute(sql, {"name": str(file)})
            ledger.forget(con, str(file))
    for batch in batches(layout.lines(), BATCH):
        _store(store, layout, batch, config, scan, tally, skipped)
    with writing(store) as con:
        drop_tagged(con)  # a set that was written elsewhere meets no other selection here
    return Imported(
        frames=registered.new,
        pairs=tally["train"] + tally["bench"],
        known=tally["known"],
        train=tally["train"],
        bench=tally["bench"],
        skipped=dict(skipped),
    )


def _entries(layout: Layout) -> Iterator[Found]:
    """The picture of each line that has one; pairs of one picture that follow each other name it once."""
    last: Path | None = None
    for line in layout.lines():
        if isinstance(line, Line):
            try:
                path = layout.picture(line)
            except Exception:
                continue  # told when its pairs are stored
            if path != last:
                told = origin(line.record)
                yield Entry(
                    path,
                    told["source"] or layout.folder.name,
                    told["licence"],
                    told["video"],
                    told["moment"],
                    input=False,  # the lines that name it are the inputs
                )
            last = path


def _store(
    store: Path,
    layout: Layout,
    batch: Sequence[Line | tuple[str, Fault]],
    config: ImportConfig,
    scan: FramesConfig,
    tally: Counter[str],
    skipped: Counter[str],
) -> None:
    faults: list[tuple[str, Fault]] = []
    found: list[tuple[Line, Path]] = []
    usable: dict[str, str] = {}
    for line in batch:
        if isinstance(line, tuple):
            faults.append(line)
            continue
        try:
            found.append((line, layout.picture(line)))
        except Exception as error:
            faults.append((line.name, _fault(error)))
    with writing(store) as con:
        frames = _frames(con, {path for _, path in found}, scan)
        split_of = _splits(con, {frame for frame in frames.values() if isinstance(frame, str)})
        rows = _Rows({}, {}, {})
        for line, path in found:
            frame = frames[path]
            if isinstance(frame, Fault):
                faults.append((line.name, frame))
            elif split_of.setdefault(frame, line.split) != line.split:
                faults.append((line.name, Fault("other_split", f"the same image is in {split_of[frame]}")))
            else:
                try:
                    pairs = list(layout.given(line))
                except Exception as error:
                    pairs = [_fault(error)]
                for index, given in enumerate(pairs):
                    if isinstance(given, Fault):
                        faults.append((f"{line.name} {index}" if index else line.name, given))
                    else:
                        rows.add(frame, line.split, given, config)
                        usable[line.name] = frame
        told: dict[str, Fault] = {}
        for item, fault in faults:  # of a line with several faults the first
            told.setdefault(_PAIR.sub("", item), fault)
        ledger.write(con, [_line(line, usable, told) for line in batch])
        tally.update(rows.write(con))
        rejected = [
            {
                "stage": "generate",
                "item": item,
                "reason": fault.reason,
                "detail": fault.detail,
                "path": item.rsplit(":", 1)[0],
                "config_hash": config.digest(),
            }
            for item, fault in faults
        ]
        reject(con, rejected)
    skipped.update(fault.reason for _, fault in faults)


def _fault(error: Exception) -> Fault:
    """What went wrong within one line, as its fault."""
    if isinstance(error, Fault):
        return error
    refusal = failed(error)
    return Fault(refusal.reason, refusal.detail)


def _line(line: Line | tuple[str, Fault], usable: Mapping[str, str], faults: Mapping[str, Fault]) -> ledger.LedgerLine:
    """The ledger's line: a line of a dataset is registered if any of its pairs is."""
    name = line[0] if isinstance(line, tuple) else line.name
    fault = faults.get(name)
    path = name.rpartition(":")[0]
    told = (fault.reason, fault.detail) if fault else ("", "")
    return ledger.LedgerLine(name, path, "registered" if name in usable else "rejected", *told, usable.get(name, ""))


@dataclass(frozen=True)
class _Rows:
    """What a batch brings, by identity: a pair that comes twice counts as known."""

    pairs: dict[str, dict[str, object]]
    types: dict[str, dict[str, object]]
    splits: dict[str, tuple[str, list[str]]]
    """Frame -> its split and its pairs."""

    def add(self, frame: str, split: str, given: Given, config: ImportConfig) -> None:
        name = pair_id(frame, given.parsed.task)
        _, mine = self.splits.setdefault(frame, (split, []))
        position = given.position if given.position is not None else len(mine)
        mine.append(name)
        row: dict[str, object] = {
            "pair_id": name,
            "frame_id": frame,
            "position": position,
            "agent": given.parsed.agent,
            "instruction": given.parsed.instruction,
            "task": given.parsed.task,
            "solution": given.solution,
            "model": given.model or "not known",
            "prompt_version": given.prompt_version or "not known",
            "config_hash": given.config_hash or config.digest(),
        }
        self.pairs.setdefault(name, row)
        if given.agent_type and given.task_type:
            labels = {"agent_type": given.agent_type, "task_type": given.task_type}
            self.types.setdefault(name, {"pair_id": name, "labeller": given.labeller or GIVEN, **labels})

    def write(self, con: duckdb.DuckDBPyConnection) -> Counter[str]:
        """Stores what is new; counts new pairs by split, and those that were known."""
        sql = "SELECT pair_id FROM task_pairs WHERE pair_id IN (SELECT unnest($ids))"
        before = {name for (name,) in con.execute(sql, {"ids": list(self.pairs)}).fetchall()}
        insert(con, "task_pairs", [row for name, row in self.pairs.items() if name not in before])
        insert(con, "taxonomy", list(self.types.values()))
        tally: Counter[str] = Counter()
        for split, names in self.splits.values():
            new = {name for name in names if name not in before}
            tally[split] += len(new)
            tally["known"] += len(names) - len(new)
        rows = [
            {"frame_id": frame, "split": split, "config_hash": GIVEN, "examined": None}
            for frame, (split, _) in self.splits.items()
        ]
        insert(con, "splits", rows)
        held_out = [(frame, names) for frame, (split, names) in self.splits.items() if split == "bench"]
        con.execute(
            """
            UPDATE splits SET config_hash = $given WHERE frame_id IN (SELECT unnest($frames))
            """,
            {"given": GIVEN, "frames": list(self.splits)},
        )
        for frame, names in held_out:
            examined = "list_sort(list_distinct(list_concat(coalesce(examined, []), ?)))"
            con.execute(f"UPDATE splits SET examined = {examined} WHERE frame_id = ?", [names, frame])
        return tally


def _splits(con: duckdb.DuckDBPyConnection, frames: Collection[str]) -> dict[str, str]:
    """The splits that frames have."""
    sql = "SELECT frame_id, split FROM splits WHERE frame_id IN (SELECT unnest($ids))"
    return dict(con.execute(sql, {"ids": list(frames)}).fetchall())


def _frames(con: duckdb.DuckDBPyConnection, paths: Iterable[Path], scan: FramesConfig) -> dict[Path, str | Fault]:
    """The frame of each picture, or why it is none."""
    rows = con.execute(
        "SELECT path, frame_id FROM frames WHERE path IN (SELECT unnest($paths))",
        {"paths": [str(path) for path in paths]},
    ).fetchall()
    by_path = dict(rows)
    found: dict[Path, str | Fault] = {}
    for path in paths:
        frame = by_path.get(str(path))
        if frame is None:  # refused, or the same bytes as another file, which stands for both
            frame = _content(path, scan)
            if (
                isinstance(frame, str)
                and not con.execute("SELECT 1 FROM frames WHERE frame_id = ?", [frame]).fetchall()
            ):
                sql = "SELECT reason || ': ' || detail FROM rejections WHERE stage = 'frames' AND item = ?"
                why = con.execute(sql, [str(path)]).fetchall()
                frame = Fault("unusable_image", why[0][0] if why else "it was not registered")
        found[path] = frame
    return found


def _content(path: Path, scan: FramesConfig) -> str | Fault:
    try:
        return hashlib.sha256(read(path, scan.max_bytes)).hexdigest()
    except Refusal as refusal:
        return Fault("unusable_image", str(refusal))
