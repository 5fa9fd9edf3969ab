"""`metrics.jsonl`: one JSON line per step, consistent with the checkpoint that a run resumes from."""

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from wmsd_core.files import replacing

_TAIL = 2**20
"""Bytes from the end in which a step is found whole: one has some thousands."""


def as_line(row: Mapping[str, Any]) -> str:
    """One line of JSON. A number that is not finite is written as null: JSON has no name for it."""
    return json.dumps(_finite(row), allow_nan=False)


def append(path: Path, row: Mapping[str, Any]) -> None:
    """Adds one line."""
    with path.open("a", encoding="utf-8") as file:
        file.write(as_line(row) + "\n")


def truncate(path: Path, steps: int) -> None:
    """Keeps the lines of the first `steps` steps; later ones, and one torn by a kill, will be written again."""
    if not path.is_file():
        return
    kept: list[str] = []
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
        if not line.endswith("\n") or json.loads(line)["step"] > steps:
            break
        kept.append(line)
    with replacing(path) as partial:
        partial.write_text("".join(kept), encoding="utf-8")


def last_step(path: Path) -> int:
    """The last step that is written down whole; 0 before the first."""
    if not path.is_file():
        return 0
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _TAIL))
        whole, _, _ = file.read().rpartition(b"\n")  # what comes after it is being written
    return int(json.loads(whole.rpartition(b"\n")[2])["step"]) if whole else 0


def flat(row: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float | None]]:
    """Metrics by one name each: {"reward": {"task": 1}, "anchor_by_level": [2]} as reward/task, anchor_by_level/0."""
    for name, value in row.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{name}/")
        elif isinstance(value, list):
            yield from flat({str(i): item for i, item in enumerate(value)}, f"{prefix}{name}/")
        elif name != "step":
            yield prefix + name, value


def _finite(value: Any) -> Any:
    match value:
        case float():
            return value if math.isfinite(value) else None
        case dict():
            return {key: _finite(item) for key, item in value.items()}  # pyright: ignore[reportUnknownVariableType]
        case list():
            return [_finite(item) for item in value]  # pyright: ignore[reportUnknownVariableType]
        case _:
            return value
