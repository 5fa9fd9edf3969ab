"""Both public layouts of VBVR-Bench: which samples there are, and which video is of which sample.

    new   truth    In-Domain_50/G-45_key_door_matching_data-generator/00000/first_frame.png, final_frame.png, prompt.txt, ...
          videos   [checkpoint-100/]In-Domain_50/G-45_key_door_matching_data-generator/00000.mp4
    old   both     G-45_key_door_matching_data-generator/TYPE/TYPE_00000000/RUN/video/output.mp4, question/first_frame.png, ...

The kit that scores passes over what it does not expect without a word, so everything is named here. Read in
Video-Reason/VBVR-EvalKit 275472f (new) and 27b63c1 (old).
"""

import difflib
import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

from wmsd_core.bench.submission import Remark, Submission, matched, walk

SPLITS = ("In-Domain_50", "Out-of-Domain_50")
OTHER_SPLITS = {
    "In-Domain": "a copy with other names",
    "Out-of-Domain": "a copy with other names",
    "In_Domain": "the names that the kit uses within",
    "Out_of_Domain": "the names that the kit uses within",
    "Open_60": "the data before March 2026",
    "Hidden_40": "the data before March 2026",
}
"""Folder -> whose name of a split it is. Tasks lie in other splits there."""
SAMPLES = 500
"""Of the published set."""
_TASK = re.compile(r"[GO]-\d+_\w.*")


class Task(NamedTuple):
    """What is known of one of the 100 tasks."""

    split: str
    old: str
    """Its category among six, as in the paper (the kit before March 2026)."""
    new: str
    """Its category among five."""


@cache
def tasks() -> Mapping[str, Task]:
    """The 100 tasks by name."""
    known = json.loads((Path(__file__).parent / "tasks.json").read_text(encoding="utf-8"))
    return {name: Task(*of) for name, of in known.items()}


@dataclass(frozen=True)
class Sample:
    """One puzzle: what a video of it begins with and should end with."""

    task: str
    number: int
    folder: Path
    """With first_frame.png, final_frame.png, prompt.txt, and ground_truth.mp4 if there is one."""

    @property
    def name(self) -> str:
        """`In-Domain_50/G-45_key_door_matching_data-generator/00000`."""
        return f"{tasks()[self.task].split}/{self.task}/{self.number:05d}"

    @property
    def prompt(self) -> str:
        """The instruction; '' where it is missing."""
        path = self.folder / "prompt.txt"
        return path.read_text(encoding="utf-8").strip() if path.is_file() else ""

    @property
    def fault(self) -> str:
        """What its truth lacks; '' if it can be scored."""
        lost = [name for name in ("first_frame.png", "final_frame.png") if not (self.folder / name).is_file()]
        return f"its truth has no {' and no '.join(lost)}" if lost else ""


def samples(folder: Path) -> tuple[list[Sample], list[Remark]]:
    """The samples whose truth a folder holds, in either layout, and what else looks like a task of some version.

    Raises:
        ValueError: there is none, or the folder is of another version.
    """
    if not folder.is_dir():
        raise ValueError(f"there is no folder of VBVR-Bench at {folder}")
    _refuse_other_versions(folder)
    remarks: list[Remark] = []
    found: dict[str, Sample] = {}
    for split, task, path in _task_folders(folder):
        if fault := _misplaced(split, task):
            remarks.append(Remark("refused", str(path.relative_to(folder)), fault))
            continue
        for number, where in _of_new_layout(path) if split else _of_old_layout(path):
            sample = Sample(task, number, where)
            if sample.name in found:
                raise ValueError(f"{sample.name} is there twice: {found[sample.name].folder} and {where}")
            found[sample.name] = sample
    if not found:
        unknown = f"; of its tasks none is known, such as {remarks[0].subject}" if remarks else ""
        raise ValueError(
            f"{folder} holds no sample of VBVR-Bench: it has {' and '.join(SPLITS)}, or task folders with TYPE/ID/RUN/question"
            f"{unknown}. VBVR-Pro-Bench is another benchmark"
        )
    return [found[name] for name in sorted(found)], remarks


def models(folder: Path) -> dict[str, Path]:
    """Folders of videos by name: one for each checkpoint-N, which are never pooled, or the folder itself as ''."""
    below = sorted(path for path in folder.glob("checkpoint-*") if path.is_dir()) if folder.is_dir() else []
    return {path.name: path for path in below} or {"": folder}


def read(folder: Path, known: Sequence[Sample]) -> Submission:
    """The videos of a folder by sample, in either layout.

    Raises:
        ValueError: there is no such folder, or it is of another version.
    """
    remarks: list[Remark] = []
    files: defaultdict[str, list[Path]] = defaultdict(list)
    names = {sample.name for sample in known}
    if folder.is_dir():
        _refuse_other_versions(folder)
    for path in walk(folder, remarks):
        where = path.relative_to(folder)
        split = where.parts[0] if where.parts[0] in SPLITS else ""
        parts = where.parts[1:] if split else where.parts
        if "question" in parts[:-1]:
            continue  # truth of the old layout
        found = _sample(split, parts)
        if isinstance(found, Remark):
            remarks.append(Remark(found.kind, str(where), found.detail))
        elif found in names:
            files[found].append(path)
        else:
            remarks.append(Remark("extra", found, f"{where} has no truth"))
    return matched([sample.name for sample in known], files, remarks)


def _sample(split: str, parts: Sequence[str]) -> str | Remark:
    """The sample that a file is of, or why it has none; parts of its path below the split."""
    if len(parts) < 2:
        return Remark("reported", "", "it lies in no task's folder: not scored")
    task, name = parts[0], Path(parts[-1])
    if fault := _misplaced(split, task):
        return Remark("refused", "", fault)
    if split:
        if len(parts) != 2 or not re.fullmatch(r"\d{5}\.mp4", name.name):
            return Remark("reported", "", "the kit passes over it without a word: names are 00000.mp4; not scored")
        return f"{split}/{task}/{name.stem}"
    number = re.search(r"(\d+)$", parts[2]) if len(parts) == 6 and parts[4] == "video" else None
    if number is None or name.suffix != ".mp4":
        return Remark("reported", "", "it lies in neither layout (TASK/TYPE/ID/RUN/video/output.mp4): not scored")
    return f"{tasks()[task].split}/{task}/{int(number[1]):05d}"


def _misplaced(split: str, task: str) -> str:
    """Why a folder is of no task, or in the wrong place; '' if it is right. Of the old layout, which has no splits, ''."""
    if task not in tasks():
        near = difflib.get_close_matches(task, tasks(), n=1, cutoff=0.5)
        return f"no evaluator has the name {task}" + (f"; the nearest is {near[0]}" if near else "")
    right = tasks()[task].split
    if split and split != right:
        return f"it lies in {split}, and the task is of {right}: the kit's two entry points would count it differently"
    return ""


def _task_folders(folder: Path) -> Iterator[tuple[str, str, Path]]:
    """Split ('' in the old layout), task and folder; in the old layout a model's own folder may be above the tasks."""
    splits = [split for split in SPLITS if (folder / split).is_dir()]
    if splits:
        for split in splits:
            yield from ((split, path.name, path) for path in sorted((folder / split).iterdir()) if path.is_dir())
        return
    yield from (("", path.name, path) for path in sorted(folder.iterdir()) if path.is_dir() and _TASK.match(path.name))


def _of_new_layout(task: Path) -> Iterator[tuple[int, Path]]:
    yield from (
        (int(path.name), path) for path in sorted(task.iterdir()) if path.is_dir() and re.fullmatch(r"\d{5}", path.name)
    )


def _of_old_layout(task: Path) -> Iterator[tuple[int, Path]]:
    """The truth of a sample lies beside each of its runs; the first one's is taken."""
    for path in sorted(task.glob("*/*")):
        number = re.search(r"(\d+)$", path.name)
        questions = sorted(run for run in path.glob("*/question") if run.is_dir())
        if number and questions:
            yield int(number[1]), questions[0]


def _refuse_other_versions(folder: Path) -> None:
    other = [name for name in OTHER_SPLITS if (folder / name).is_dir()]
    if other:
        raise ValueError(
            f"{folder} has the folder {other[0]}: {OTHER_SPLITS[other[0]]}. Tasks lie in other splits there; the folders are "
            f"{' and '.join(SPLITS)}"
        )
