"""Speed and accuracy of the measuring stage, in one run beside the decode floor and CleanVision.

    python yardsticks/filtering.py IMAGES [--rounds 5] [--peer-images 200] [--cache DIR]

IMAGES is a folder of JPEGs (`yardsticks/photographs.py` makes one). Every round measures everything once, one after the
other; ratios are of figures of one round, so that a busy machine slows both sides. CPU time is user and system time of
the process and its children, by getrusage; in our stage it includes looking up and storing. Median, least, greatest.
"""

import argparse
import json
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np

from wmsd_core.filters import FilterConfig, MeasureConfig, decide, measure_frames
from wmsd_core.filters.measurement import measure
from wmsd_core.frames import FramesConfig, register
from wmsd_core.store import query, reading, writing
from wmsd_core.store.funnel import survivors

PEERS = ("simplejpeg==1.9.0", "cleanvision==0.3.7")
LEVELS = (1, 2)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the filter stage beside the decode floor and CleanVision.")
    parser.add_argument("images", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peer-images", type=int, default=200, help="images that CleanVision is given")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "wmsd-filtering")
    options = parser.parse_args()
    python = environment(options.cache)
    files = sorted(str(path) for path in options.images.glob("*.jpg"))
    some = files[:: max(1, len(files) // options.peer_images)]
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "store.duckdb"
        register(store, options.images, FramesConfig())
        rounds: dict[str, list[dict[str, float]]] = defaultdict(list)
        for _ in range(options.rounds):
            for workers in LEVELS:
                rounds[f"floor: read, decode in full, grey ({workers})"].append(peer(python, "floor", workers, files))
                rounds[f"measuring stage ({workers})"].append(stage(store, workers))
            for workers in LEVELS:
                rounds[f"CleanVision, 4 checks ({workers})"].append(peer(python, "cleanvision", workers, some))
        print_speed(rounds, len(files), len(some))
        print_accuracy(store, Path(folder) / "exact.duckdb")


def environment(cache: Path) -> str:
    """The Python of an environment with the peers in it; it is made if it is not there."""
    python = cache / "environment" / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(python.parents[1])], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *PEERS], check=True)
    return str(python)


def peer(python: str, name: str, workers: int, files: list[str]) -> dict[str, float]:
    script = str(Path(__file__).with_name("peers.py"))
    done = subprocess.run([python, script, name, str(workers), *files], capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def stage(store: Path, workers: int) -> dict[str, float]:
    """One pass of `measure_frames` over everything, from frame ids to stored rows."""
    with writing(store) as con:
        con.execute("DELETE FROM measurements")
        ids = survivors(con, "frames")
    wall, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
    done = measure_frames(store, ids, MeasureConfig(), threads=workers)
    after = resource.getrusage(resource.RUSAGE_SELF)
    assert done.measured == len(ids)
    used = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return {"images": len(ids), "wall": time.perf_counter() - wall, "cpu": used}


def print_speed(rounds: dict[str, list[dict[str, float]]], images: int, peers: int) -> None:
    floors = [r["cpu"] / r["images"] for r in next(iter(rounds.values()))]
    print(f"\n{images} images ({peers} for CleanVision), {len(floors)} rounds: median (least to greatest)\n")
    print("| what (workers) | images/s | CPU ms an image | CPU / floor with 1 worker, same round |\n|---|---|---|---|")
    for name, found in rounds.items():
        speed = [r["images"] / r["wall"] for r in found]
        used = [r["cpu"] / r["images"] for r in found]
        ratios = [mine / floor for mine, floor in zip(used, floors, strict=True)]
        print(f"| {name} | {spread(speed, 0)} | {spread([1e3 * u for u in used], 2)} | {spread(ratios, 2)} |")
    ours, theirs = rounds["measuring stage (1)"], rounds["CleanVision, 4 checks (1)"]
    gains = [t["cpu"] / t["images"] / (o["cpu"] / o["images"]) for o, t in zip(ours, theirs, strict=True)]
    print(f"\nCPU time of CleanVision / ours, 1 worker: {spread(gains, 1)}")


def spread(values: list[float], digits: int) -> str:
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def print_accuracy(store: Path, copy: Path) -> None:
    """Against measuring without any shortcut: decoded in full, area-averaged to the working width, in float64."""
    shutil.copy(store, copy)
    config = MeasureConfig()
    with reading(store) as con:
        rows = query(con, "SELECT frame_id, path, width, sharpness FROM frames JOIN measurements USING (frame_id)")
    exact, native = np.empty(len(rows)), np.empty(len(rows))
    with writing(copy) as con:
        for index, row in enumerate(rows):
            full = cv2.imread(row["path"], cv2.IMREAD_GRAYSCALE)
            height = round(config.working_width * full.shape[0] / full.shape[1])
            grey = cv2.resize(full, (config.working_width, height), interpolation=cv2.INTER_AREA)
            native[index] = cv2.Laplacian(full, cv2.CV_64F).var()
            exact[index] = cv2.Laplacian(grey, cv2.CV_64F).var()
            figures = vars(measure(grey)) | {"sharpness": exact[index]}
            columns = ", ".join(f"{column} = ?" for column in figures)
            con.execute(f"UPDATE measurements SET {columns} WHERE frame_id = ?", [*figures.values(), row["frame_id"]])
    ours = np.array([row["sharpness"] for row in rows])
    widths = np.array([row["width"] for row in rows])
    print(f"\nSharpness at {config.working_width} pixels, rank correlation (Spearman):")
    print(f"  with the exact one at this width: {spearman(ours, exact):.4f}")
    for width in sorted(set(widths)):
        same = widths == width
        print(
            f"  of the {same.sum()} images {width} pixels wide: {spearman(ours[same], exact[same]):.4f}; "
            f"with that of the picture in its own size: {spearman(ours[same], native[same]):.4f}"
        )
    verdicts = [reasons(path) for path in (store, copy)]
    differ = verdicts[0] ^ verdicts[1]
    print(f"Verdicts (frame, reason): {len(verdicts[1])} exact, {len(differ)} of them differ: {sorted(differ)[:5]}")


def reasons(store: Path) -> set[tuple[str, str]]:
    decide(store, MeasureConfig(), FilterConfig())
    with reading(store) as con:
        rows = query(con, "SELECT path, reason FROM rejections WHERE stage = 'filter'")
    return {(Path(row["path"]).name, row["reason"]) for row in rows}


def spearman(x: np.ndarray, y: np.ndarray) -> float:
    """Pearson correlation of the ranks; equal values share the mean of their ranks."""
    return float(np.corrcoef(ranks(x), ranks(y))[0, 1])


def ranks(x: np.ndarray) -> np.ndarray:
    _, place, counts = np.unique(x, return_inverse=True, return_counts=True)
    return (counts.cumsum() - (counts - 1) / 2)[place]


if __name__ == "__main__":
    main()
