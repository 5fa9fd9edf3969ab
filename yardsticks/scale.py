"""Many small images through register, filter, dedup and store: speed, memory, size, and what a kill costs.

    python -m yardsticks.scale [N]        # 50,000 images of 96x96 by default
    python -m yardsticks.scale N --once   # no smaller numbers beside it, and no kill

Images are made first (deterministic JPEGs, a tenth of them copies at another quality). The stages then run in a process of
their own, without Prefect, in shards as the flows use them, by two threads; its memory is read while it works. A second store
is filled by a process that is killed in the middle of measuring, and finished by a rerun.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import psutil

from tasks.shards import frame_ids, shards
from wmsd_core import store
from wmsd_core.filters import FilterConfig, MeasureConfig, decide, measure_frames
from wmsd_core.frames import FramesConfig, register
from wmsd_core.frames.dedup import DedupConfig, drop_near_duplicates
from wmsd_core.frames.likeness import sign_frames
from wmsd_core.workspace import Workspace

SIDE = 96
SHARD = 2000
THREADS = 2
MEASURING = MeasureConfig(working_width=SIDE)
PARTS = ("register", "measure", "filter verdicts", "sign", "dedup verdicts")


def picture(index: int) -> np.ndarray:
    """Coloured noise whose spectrum falls like that of photographs, about 1 / f."""
    rng = np.random.default_rng(index)
    image = np.full((SIDE, SIDE, 3), rng.uniform(80, 170, 3))
    for cells in (2, 4, 8, 16, 48):
        layer = rng.normal(0, 70 / cells**0.6, (cells, cells, 3))
        image += cv2.resize(layer, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    return image.clip(0, 255).astype(np.uint8)


def make(folder: Path, count: int) -> None:
    """`count` files, every tenth a copy of the one before it at a lower JPEG quality."""
    for index in range(count):
        place = folder / f"{index // 1000:04}"
        place.mkdir(parents=True, exist_ok=True)
        copy = index % 10 == 9
        quality = 70 if copy else 90
        cv2.imwrite(str(place / f"{index:07}.jpg"), picture(index - copy), [cv2.IMWRITE_JPEG_QUALITY, quality])


def work(images: Path, root: Path) -> None:
    """Every part in turn; prints a line of JSON for each."""
    place = Workspace(root).prepare()
    timed("register", lambda: register(place.store, images, FramesConfig()))
    timed("measure", lambda: in_shards(place, None, lambda ids: measure_frames(place.store, ids, MEASURING).measured))
    timed("filter verdicts", lambda: decide(place.store, MEASURING, FilterConfig(min_side=16, min_sharpness=0)))
    timed("sign", lambda: in_shards(place, "filter", lambda ids: sign_frames(place.store, ids).signed))
    timed("dedup verdicts", lambda: drop_near_duplicates(place.store, MEASURING.digest(), DedupConfig()))


def in_shards(place: Workspace, after: Any, function: Callable[[list[str]], int]) -> int:
    with ThreadPoolExecutor(THREADS) as pool:
        return sum(pool.map(lambda shard: function(frame_ids(place, shard)), shards(place, after, SHARD)))


def timed(name: str, function: Callable[[], object]) -> None:
    started, cpu = time.monotonic(), time.process_time()
    result = function()
    line = {
        "part": name,
        "seconds": time.monotonic() - started,
        "cpu": time.process_time() - cpu,
        "result": str(result),
    }
    print(json.dumps(line), flush=True)


def watched(images: Path, root: Path) -> tuple[list[dict[str, Any]], dict[str, float]]:
    """Runs `work` in a process of its own: its lines, and its greatest memory in MB in each part."""
    process = start(images, root)
    assert process.stdout is not None
    os.set_blocking(process.stdout.fileno(), False)
    lines: list[dict[str, Any]] = []
    peak = dict.fromkeys(PARTS, 0.0)
    while process.poll() is None or len(lines) < len(PARTS):
        if process.returncode:
            raise RuntimeError(f"the work ended with status {process.returncode}")
        if line := process.stdout.readline():
            lines.append(json.loads(line))
        elif process.poll() is None and len(lines) < len(PARTS):
            part = PARTS[len(lines)]
            peak[part] = max(peak[part], psutil.Process(process.pid).memory_info().rss / 1e6)
            time.sleep(0.05)
    return lines, peak


def start(images: Path, root: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "yardsticks.scale", "--work", str(images), str(root)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)


def rows(root: Path) -> dict[str, int]:
    with store.reading(Workspace(root).store) as con:
        tables = ("frames", "measurements", "signatures", "rejections")
        return {table: con.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0] for table in tables}


def killed(images: Path, root: Path, after: int) -> dict[str, int]:
    """The rows that a process leaves that is killed as soon as `after` frames are measured."""
    process = start(images, root)
    while True:
        time.sleep(0.2)
        if Workspace(root).store.exists() and rows(root)["measurements"] >= after:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return rows(root)


def table(count: int, lines: list[dict[str, Any]], peak: dict[str, float]) -> None:
    print(f"\n{'part':<16}{'seconds':>9}{'CPU s':>8}{'rows/s':>9}{'peak MB':>9}  result")
    for line in lines:
        speed = count / max(line["seconds"], 1e-9)
        print(
            f"{line['part']:<16}{line['seconds']:9.1f}{line['cpu']:8.1f}{speed:9.0f}{peak[line['part']]:9.0f}"
            f"  {line['result'][:90]}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("count", type=int, nargs="?", default=50_000)
    parser.add_argument("--folder", type=Path, help="where to work; a temporary folder by default")
    parser.add_argument("--once", action="store_true", help="only this number, and again")
    parser.add_argument("--work", type=Path, nargs=2, metavar=("IMAGES", "ROOT"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        work(*arguments.work)
        return
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder, count = Path(name), arguments.count
        for part in (count,) if arguments.once else (count // 5, count // 2, count):
            images = folder / "images"
            shutil.rmtree(images, ignore_errors=True)
            make(images, part)
            lines, peak = watched(images, folder / f"store{part}")
            print(f"\n== {part} images")
            table(part, lines, peak)
            size = Workspace(folder / f"store{part}").store.stat().st_size
            print(f"store: {size / 1e6:.1f} MB, {size / part:.0f} bytes a frame; rows: {rows(folder / f'store{part}')}")
        print("\n== the same again: nothing is left to do")
        table(count, *watched(images, folder / f"store{count}"))
        if arguments.once:
            return
        print("\n== killed in the middle of measuring, and run again")
        left = killed(images, folder / "killed", count // 2)
        print(f"left by the kill: {left}")
        lines, peak = watched(images, folder / "killed")
        table(count, lines, peak)
        done = int(lines[1]["result"])
        print(f"measured again: {left['measurements'] + done - rows(folder / 'killed')['measurements']}")
        same = rows(folder / "killed") == rows(folder / f"store{count}")
        print(f"rows as without the kill: {same}")


if __name__ == "__main__":
    main()
