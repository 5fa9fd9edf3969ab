"""The public layout of DreamGen Bench: the name of a picture is its item's number and text, and that of a video too.

    pictures   .../gr1_object/0_Use_the_left_hand_to_pick_up_the_cup..png
    videos     .../cosmos_gr1_object/0_Use_the_left_hand_to_pick_up_the_cup..mp4

Spaces stand as underscores, or as they are; a text that ends in a full stop has two of them before its suffix, or one. Numbers
may be padded. Long texts are cut off by file systems, so that a video is judged by the text of its item, never by its own.

Layout as in NVIDIA/GR00T-Dreams ec3881d and nvidia-cosmos/cosmos-predict2 2aee45b.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from wmsd_core.bench.submission import Remark, Submission, matched, walk

SUBSETS = {"gr1_object": 50, "gr1_behavior": 47, "gr1_env": 29}
"""Subset -> items of the published set."""
PICTURES = {".png", ".jpg", ".jpeg"}
_SEED = re.compile(r"(?: seed|-)(\d+)$")


@dataclass(frozen=True)
class Entry:
    """One item: a picture and what the robot is told."""

    subset: str
    number: int
    text: str
    picture: Path

    @property
    def name(self) -> str:
        """`gr1_object/0`."""
        return f"{self.subset}/{self.number}"


def subset_of(folders: Iterable[str]) -> str | None:
    """The subset that the innermost folder is of whose name ends with one: cosmos_predict2_gr1_env."""
    ends = [subset for folder in folders for subset in SUBSETS if folder.endswith(subset)]
    return ends[-1] if ends else None


def entry(picture: Path) -> Entry | None:
    """The item of a picture, by its path; None if that names none."""
    subset = subset_of([picture.parent.name])
    number, text = _split(_stem(picture))
    if subset is None or number is None or not text or picture.suffix.lower() not in PICTURES:
        return None
    return Entry(subset, number, text, picture)


def entries(folder: Path) -> list[Entry]:
    """The items of a folder of pictures, by subset and number.

    Raises:
        ValueError: there is none, or two pictures have one number.
    """
    found = [made for path in sorted(folder.rglob("*")) if not path.name.startswith(".") and (made := entry(path))]
    if not found:
        raise ValueError(
            f"{folder} holds no pictures of DreamGen Bench: they lie in folders {', '.join(SUBSETS)} and are named "
            "NUMBER_TEXT.png"
        )
    return ordered(found)


def ordered(found: Sequence[Entry]) -> list[Entry]:
    """By subset and number.

    Raises:
        ValueError: two pictures have one number.
    """
    by_name: dict[str, Entry] = {}
    for each in found:
        if each.name in by_name:
            raise ValueError(f"two pictures are {each.name}: {by_name[each.name].picture} and {each.picture}")
        by_name[each.name] = each
    subsets = list(SUBSETS)
    return sorted(by_name.values(), key=lambda each: (subsets.index(each.subset), each.number))


def read(folder: Path, items: Sequence[Entry], *, seed: int | None = None) -> Submission:
    """The videos of `folder` by item, as far as names tell.

    Args:
        items: as `entries` found them.
        seed: which of several videos of an item to take, by the `_seed1` or `-1` at the end of their names.

    Raises:
        ValueError: there is no such folder.
    """
    remarks: list[Remark] = []
    files: defaultdict[str, list[Path]] = defaultdict(list)
    for path in walk(folder, remarks):
        where = path.relative_to(folder)
        subset = subset_of([folder.name, *where.parts[:-1]])
        if subset and not path.parent.name.endswith(subset):
            remarks.append(Remark("ignored", str(where), f"it lies deeper than its subset's folder {subset}"))
            continue
        found = _match(path, subset, items, seed)
        if isinstance(found, Entry):
            files[found.name].append(path)
            remarks += _peculiarities(path, found)
        else:
            remarks.append(found or Remark("ignored", str(where), f"not of seed {seed}"))
    return matched([item.name for item in items], files, _once(remarks, files))


def _match(path: Path, subset: str | None, items: Sequence[Entry], seed: int | None) -> Entry | Remark | None:
    """The item of a file, or why it has none; None if it is of another seed than the one asked for."""
    among = [item for item in items if subset in (None, item.subset)]
    stem = _stem(path)
    end = _SEED.search(stem)
    if end and not any(_same(_split(stem)[1], item.text) for item in among):
        if seed is not None and int(end[1]) != seed:
            return None
        stem = stem[: end.start()]
    number, text = _split(stem)
    by_text = [item for item in among if text and _same(text, item.text)]
    place = f"{subset or path.parent.name}/{path.stem if number is None else number}"
    if number is None:
        if len(by_text) == 1:
            return by_text[0]
        return Remark("refused", place, f"{path.name} has no number, and its text is of {len(by_text)} items")
    by_number = [item for item in among if item.number == number]
    agreed = [item for item in by_number if _same(text, item.text)]
    if len(agreed) == 1:
        return agreed[0]
    if by_text:
        other = ", ".join(item.name for item in by_text)
        return Remark("refused", place, f"{path.name} has the text of {other}: the list may be shifted")
    if not by_number:
        return Remark("extra", place, f"{path.name}: there is no picture of this number")
    cut = [item for item in by_number if item.text.startswith(text)]
    if len(cut) == 1:
        return cut[0]
    return Remark("refused", place, f"{path.name} has a text that is no item's")


def _peculiarities(path: Path, item: Entry) -> list[Remark]:
    found: list[Remark] = []
    if path.suffix != ".mp4":
        found.append(Remark("reported", item.name, f"{path.name} is in another format than .mp4"))
    text = _split(_SEED.sub("", _stem(path)))[1]
    if not _same(text, item.text) and not _same(_split(_stem(path))[1], item.text):
        found.append(
            Remark(
                "reported", item.name, f"its name is cut after {len(text)} characters; judged by the item's whole text"
            )
        )
    return found


def _once(remarks: Sequence[Remark], files: Mapping[str, Sequence[Path]]) -> list[Remark]:
    """Without peculiarities of items that are refused for having several files."""
    return [remark for remark in remarks if remark.kind != "reported" or len(files[remark.subject]) == 1]


def _stem(path: Path) -> str:
    """The name without its suffix, spaces as spaces."""
    return " ".join(path.name.removesuffix(path.suffix).replace("_", " ").split())


def _split(stem: str) -> tuple[int | None, str]:
    """Number and text; None for a name that begins with none."""
    found = re.fullmatch(r"(\d+)(?: (.*))?", stem)
    return (int(found[1]), found[2] or "") if found else (None, stem)


def _same(one: str, other: str) -> bool:
    return one.rstrip(". ") == other.rstrip(". ")
