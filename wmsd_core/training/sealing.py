"""Folders of files whose SHA-256 lies beside them: checkpoints and adapters. Imports no torch."""

import json
from pathlib import Path

from wmsd_core.files import sha256

MANIFEST = "manifest.json"


def seal(folder: Path) -> None:
    """Writes the SHA-256 of every file in `folder`, by which `fault` tells what became of them."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    sums = {path.relative_to(folder).as_posix(): sha256(path) for path in files}
    (folder / MANIFEST).write_text(json.dumps(sums, indent=1), encoding="utf-8")


def fault(path: Path) -> str:
    """What is wrong with the files of a checkpoint or an adapter; '' if nothing is."""
    try:
        sums = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
        bad = [name for name, value in sums.items() if sha256(path / name) != value]
    except (OSError, ValueError) as error:
        return f"{path.name}: {error}"
    return f"{path.name}: {', '.join(bad)} changed after it was written" if bad else ""
