"""Small pictures and stores for the tests of the data stages."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

from wmsd_core.filters import FilterConfig, MeasureConfig
from wmsd_core.frames import FramesConfig, register
from wmsd_core.store import query, reading
from wmsd_core.store.funnel import Stage, survivors

SMALL = MeasureConfig(working_width=64)
LENIENT = FilterConfig(min_side=16)


def scene(seed: int, height: int = 48, width: int = 64) -> np.ndarray:
    """uint8 [H, W, 3]: random blocks of colour, sharp, of middling brightness, unlike every other seed."""
    blocks = np.random.default_rng(seed).integers(40, 216, (height // 8, width // 8, 3), dtype=np.uint8)
    return blocks.repeat(8, 0).repeat(8, 1)


def encode(rgb: np.ndarray, format_: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, format_, **options)
    return buffer.getvalue()


def folder_of(folder: Path, count: int, first: int = 0) -> list[Path]:
    """Writes `count` distinct scenes as PNG files."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{index:03d}.png" for index in range(first, first + count)]
    for index, path in enumerate(paths, start=first):
        path.write_bytes(encode(scene(index)))
    return paths


def registered(tmp_path: Path, count: int) -> tuple[Path, list[str]]:
    """A store with `count` registered scenes in tmp_path / "images"; the store's path and the frame ids."""
    folder_of(tmp_path / "images", count)
    store = tmp_path / "store.duckdb"
    register(store, tmp_path / "images", FramesConfig())
    return store, left(store, "frames")


def left(store: Path, after: Stage) -> list[str]:
    with reading(store) as con:
        return survivors(con, after)


def rejections(store: Path, stage: Stage) -> dict[str, set[str]]:
    """File name -> reasons."""
    found: dict[str, set[str]] = {}
    with reading(store) as con:
        for row in query(con, "SELECT path, reason FROM rejections WHERE stage = ?", [stage]):
            found.setdefault(Path(row["path"]).name, set()).add(row["reason"])
    return found


def count(store: Path, table: str) -> int:
    with reading(store) as con:
        return query(con, f"SELECT count(*) AS n FROM {table}")[0]["n"]
