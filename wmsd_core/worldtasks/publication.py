"""A folder that appears complete or not at all, in place of an earlier one of its kind and of nothing else."""

import json
import os
import shutil
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from wmsd_core.files import sha256

MANIFEST = "manifest.json"
FORM = "wmsd-export/1"


@contextmanager
def publishing(out: Path) -> Generator[Path]:
    """A new folder beside `out`, which takes the place of `out` if the block ends well, and is removed if it does not.

    A kill leaves the earlier export, or, between two renames, none; the next call puts the earlier one back first. What
    other killed calls left behind is removed.

    Raises:
        ValueError: `out` is a file, or a folder that holds something else than an export.
    """
    out = out.absolute()
    partial, previous = _beside(out, "partial"), out.with_name(f".{out.name}.previous")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        if previous.exists():
            if out.exists():
                shutil.rmtree(previous)
            else:
                previous.rename(out)
        _refuse_foreign(out)
        for left in out.parent.glob(f".{out.name}.*.partial"):
            if not psutil.pid_exists(int(left.name.rsplit(".", 2)[1])):
                shutil.rmtree(left)
        partial.mkdir()
    except PermissionError as error:
        raise ValueError(f"cannot write beside {out}: {error}; choose a folder that you may write to") from error
    try:
        yield partial
        if out.exists():
            out.rename(previous)
        partial.rename(out)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    shutil.rmtree(previous, ignore_errors=True)


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
    for name, its in listed.items():
        path = folder / name
        if not path.is_file():
            wrong.append(f"{name} is missing")
        elif path.stat().st_size != its["bytes"] or sha256(path) != its["sha256"]:
            wrong.append(f"{name} has other content than its checksum says")
    return wrong + [f"{name} is not listed in {MANIFEST}" for name in _foreign(folder, listed)]


def _beside(out: Path, kind: str) -> Path:
    return out.with_name(f".{out.name}.{os.getpid()}.{kind}")


def _refuse_foreign(out: Path) -> None:
    if not out.exists():
        return
    if not out.is_dir():
        raise ValueError(f"{out} is a file; give the name of a folder to create")
    listed = _listed(out) or {}
    if foreign := _foreign(out, listed):
        raise ValueError(
            f"{out} holds files that no export wrote, such as {foreign[0]}; they would be lost. Choose another folder, or "
            "move them away"
        )


def _listed(folder: Path) -> dict[str, Any] | None:
    with suppress(OSError, ValueError):
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        if manifest["form"] == FORM:
            return manifest["files"]
    return None


def _foreign(folder: Path, listed: dict[str, Any]) -> list[str]:
    """Files that are not listed; the manifest itself is expected where anything is listed."""
    known = {*listed, MANIFEST} if listed else set[str]()
    names = (str(path.relative_to(folder)) for path in sorted(folder.rglob("*")) if not path.is_dir())
    return [name for name in names if name not in known]
