"""A folder that appears complete or not at all, in place of an earlier one of its kind and of nothing else."""

import fcntl
import json
import os
import shutil
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from wmsd_core.files import sha256

MANIFEST = "manifest.json"
FORM = "wmsd-export/1"
_WORKSHOP = frozenset({"lock", "new", "old"})


@contextmanager
def publishing(out: Path, *, replace: bool = True) -> Generator[Path]:
    """A new folder, which takes the place of `out` if the block ends well, and is removed if it does not.

    In place of an earlier export, if `replace` allows it; an empty folder is no loss either way.

    It grows in `.OUT.wmsd-export` beside `out`, or beside the folder that `out` is a link to: the link stays. A kill leaves
    the earlier export, or, between two renames, none; the next call puts the earlier one back first, and removes what the
    killed one left.

    Raises:
        ValueError: `out` is no folder, holds something else than an export as it was written, or cannot be replaced;
            another process writes to it; or the disk fails.
    """
    try:
        place = _place(out)
        place.parent.mkdir(parents=True, exist_ok=True)
        with _workshop(place) as workshop:
            new, old = workshop / "new", workshop / "old"
            _refuse_foreign(place, replace)
            for left in (new, old):
                if left.exists():
                    shutil.rmtree(left)
            new.mkdir()
            yield new
            _refuse_foreign(place, replace)  # somebody may have put something there meanwhile
            if place.exists():
                place.rename(old)
            new.rename(place)
    except OSError as error:
        raise ValueError(f"cannot write {out}: {error}. What was there before is kept") from error


def _place(out: Path) -> Path:
    """Where `out` lies, links resolved.

    Raises:
        ValueError: no folder there can be replaced by another.
    """
    place = Path(os.path.realpath(out))
    if out.is_symlink() and not place.exists():
        raise ValueError(f"{out} is a link to {place}, which is not there; make that folder, or remove the link")
    if "?" in str(place):
        raise ValueError(
            f"{place}: DuckDB takes what follows a question mark for no part of a name; give another folder"
        )
    if os.path.ismount(place):
        raise ValueError(f"{out} is a disk of its own, which cannot be replaced; give the name of a folder in it")
    if Path.cwd().is_relative_to(place):
        raise ValueError(
            f"you are in {place}, and an export takes its place; give another folder, or run this elsewhere"
        )
    return place


@contextmanager
def _workshop(place: Path) -> Generator[Path]:
    """The folder beside `place` in which its replacement is made, held against other processes and removed in the end."""
    workshop = place.with_name(f".{place.name}.wmsd-export")
    if workshop.is_symlink() or (workshop.exists() and not workshop.is_dir()):
        raise ValueError(f"{workshop} is in the way; move it away")
    workshop.mkdir(exist_ok=True)
    if foreign := {path.name for path in workshop.iterdir()} - _WORKSHOP:
        raise ValueError(f"{workshop} holds {min(foreign)}, which no export wrote; move it away")
    with (workshop / "lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ValueError(f"another process is writing an export to {place}; wait for it") from error
        try:
            _put_back(workshop, place)
            yield workshop
        finally:
            _put_back(workshop, place)
            shutil.rmtree(workshop, ignore_errors=True)


def _put_back(workshop: Path, place: Path) -> None:
    if (workshop / "old").exists() and not place.exists():
        (workshop / "old").rename(place)


def write_manifest(folder: Path, about: dict[str, Any]) -> None:
    """Lists every file of `folder` with its size and SHA-256, and what `about` tells of the whole."""
    files = {
        str(path.relative_to(folder)): {"bytes": path.stat().st_size, "sha256": sha256(path)}
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    text = json.dumps({"form": FORM, **about, "files": files}, indent=1, ensure_ascii=False)
    (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")


def verify(folder: Path) -> list[str]:
    """What is wrong with the files of an export: a sentence each; empty if all are as its manifest says.

    Raises:
        ValueError: there is no export at `folder`.
    """
    listed = _listed(folder)
    if listed is None:
        raise ValueError(f"{folder} holds no export: it has no {MANIFEST} of ours")
    wrong: list[str] = []
    for name, checksum in listed.items():
        path = folder / name
        if not path.is_file():
            wrong.append(f"{name} is missing")
        elif sha256(path) != checksum:
            wrong.append(f"{name} has other content than its checksum says")
    return wrong + [f"{name} is not listed in {MANIFEST}" for name in _foreign(folder, listed)]


def refuse_other(file: Path, sign: str) -> None:
    """Refuses to write over a file that is not of our making. Call it before the work whose result it will hold.

    Args:
        file: what is about to be written.
        sign: words that every file of ours of this kind has.

    Raises:
        ValueError: there is something else.
    """
    if not file.exists():
        return
    if not file.is_file() or sign.encode() not in file.read_bytes():
        raise ValueError(
            f"{file} was written by something else, and would be lost. Choose another folder or name, or move it away"
        )


def _refuse_foreign(out: Path, replace: bool) -> None:
    if not out.exists():
        return
    if not out.is_dir():
        raise ValueError(f"{out} is a file; give the name of a folder to create")
    if not replace and any(out.iterdir()):
        raise ValueError(f"{out} exists already, and is not empty: give the name of a new folder")
    listed = _listed(out) or {}
    if lost := [*_foreign(out, listed), *_edited(out, listed)]:
        raise ValueError(
            f"{out} holds files that no export wrote, such as {lost[0]}; they would be lost. Choose another folder, or "
            "move them away"
        )


def _listed(folder: Path) -> dict[str, str] | None:
    """Files of the export in `folder` with their SHA-256; None where there is none."""
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        if manifest["form"] == FORM:
            return {str(name): str(its["sha256"]) for name, its in manifest["files"].items()}
    return None


def _foreign(folder: Path, listed: dict[str, str]) -> list[str]:
    """What is not listed: files, links, empty folders; the manifest itself is expected where anything is listed."""
    known = {*listed, MANIFEST} if listed else set[str]()
    known |= {str(parent) for name in listed for parent in Path(name).parents}
    return [name for name in _contents(folder) if name not in known]


def _edited(folder: Path, listed: dict[str, str]) -> list[str]:
    """What is listed and has other content, but for pictures, whose content is their name."""
    names = [name for name in listed if "images" not in Path(name).parts and (folder / name).is_file()]
    return [name for name in names if sha256(folder / name) != listed[name]]


def _contents(folder: Path) -> list[str]:
    """All that lies in `folder`, but for folders that hold something."""
    paths = (path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir() or not any(path.iterdir()))
    return sorted(str(path.relative_to(folder)) for path in paths)
