"""Files that appear whole or not at all, and files by their content."""

import hashlib
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4


@contextmanager
def replacing(path: Path) -> Generator[Path]:
    """A path beside `path` to write to. When the block ends well it takes the place of `path`, in one step; else it goes.

    Each writer has a name of its own, since two may write the same file at once. What a kill leaves is `.NAME.*.partial`.
    The folder is made. Nothing is flushed to disk: after a loss of power a file may be empty, so what a run resumes from is
    written by `training.checkpoint.Publication`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{uuid4().hex}.partial")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
