"""What clips are called: by the item's id, or by number, agent and task as on the published project page.

    4f0c21d8a3b9e657.mp4
    000010_First_person_view_Aim_the_weapon_at_the_doorway_entrance.mp4

In the second form every run of what is neither letter nor digit nor hyphen stands as one underscore. The text decides; the
number tells apart items of the same text, in the order of the draw, because others number theirs in another one.
"""

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from wmsd_core.bench.submission import NO_VIDEO, VIDEOS, Remark, Submission, matched, walk

LONGEST = 120
"""Characters of a text in a name; file systems take 255 bytes. A text that was cut off is found by its beginning."""
LEAST = 24
"""Characters of a cut text by which an item is found."""


def title(number: int, task: str) -> str:
    """The published form of a name, without suffix."""
    return f"{number:06d}_{slug(task)[:LONGEST]}"


def slug(task: str) -> str:
    """A task as it stands in names: "[Red circle]: go on." is Red_circle_go_on."""
    return re.sub(r"(?:[^\w-]|_)+", "_", task).strip("_")


def read(folder: Path, tasks: Mapping[str, str]) -> Submission:
    """The clips below `folder` by item.

    Args:
        tasks: item id -> task, in the order of the draw.

    Raises:
        ValueError: there is no such folder.
    """
    remarks: list[Remark] = []
    files: defaultdict[str, list[Path]] = defaultdict(list)
    numbers = {item: number for number, item in enumerate(tasks)}
    slugs = {item: slug(task).casefold() for item, task in tasks.items()}
    for path in walk(folder, remarks):
        found = _item(path.stem, numbers, slugs)
        if found in tasks:
            files[found].append(path)
        else:
            remarks.append(Remark("extra", str(path.relative_to(folder)), found))
    found = matched(list(tasks), files, remarks)
    others = {_item(Path(r.subject).stem, numbers, slugs): r.subject for r in remarks if r.detail == NO_VIDEO}
    return replace(found, remarks=tuple(_explained(remark, others) for remark in found.remarks))


def _explained(remark: Remark, others: Mapping[str, str]) -> Remark:
    """Of an item that is missing though a file has its name, also which, and what a file would have to be."""
    if remark.kind != "missing" or remark.subject not in others:
        return remark
    kinds = " ".join(sorted(VIDEOS))
    return replace(remark, detail=f"{remark.detail}; {others[remark.subject]} has its name, but is none of {kinds}")


def _item(stem: str, numbers: Mapping[str, int], slugs: Mapping[str, str]) -> str:
    """The item of a name, or why it has none."""
    if stem in numbers:
        return stem
    parts = re.fullmatch(r"(\d+)_(.+)", stem)
    if not parts:
        return "its name is neither an item's id nor number, agent and task"
    number, text = int(parts[1]), slug(parts[2]).casefold()
    same = [item for item, of in slugs.items() if of == text]
    if not same and len(text) >= LEAST:
        same = [item for item, of in slugs.items() if of.startswith(text)]
    if len(same) > 1:
        same = [item for item in same if numbers[item] == number]
    return same[0] if same else "no item has this task, or several have it and none of them this number"
