"""Which altered copies of photographs the leak check finds, and which unlike ones it takes for copies.

    python yardsticks/leaks.py IMAGES [--also MORE_IMAGES]

Of each photograph of IMAGES a copy is made by every alteration of `tests/frames/alterations.py`, written and read as the
check would read it. Recall: share of the copies that are found beside their original. False alarms: of every two
photographs, those of MORE_IMAGES beside them, the ones that are taken for the same; they are named, since packages hold some
pictures twice. Cost: CPU time of searching every two, and of laying two on each other.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from tests.frames.alterations import ALTERATIONS
from wmsd_core.frames import Frame, FramesConfig, find, register
from wmsd_core.frames.alignment import LONGEST, align
from wmsd_core.frames.decode import rgb
from wmsd_core.frames.likeness import signature
from wmsd_core.frames.windows import Suspect, suspects
from wmsd_core.store import reading
from wmsd_core.store.funnel import survivors
from wmsd_core.worldtasks import SplitConfig

SPLIT = SplitConfig()
WIDEST = 1600


def main() -> None:
    parser = argparse.ArgumentParser(description="Recall of altered copies, and false alarms.")
    parser.add_argument("images", type=Path)
    parser.add_argument("--also", type=Path, action="append", default=[], help="photographs to be unlike")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        originals = [shrunk(path) for path in sorted(options.images.iterdir())]
        frames = {
            kind: write(
                folder / str(row),
                [alteration(picture, np.random.default_rng(number)) for number, picture in enumerate(originals)],
            )
            for row, (kind, alteration) in enumerate(ALTERATIONS.items())
        }
        plain = write(folder / "plain", originals)
        print(f"{len(originals)} photographs\n")
        print("| altered copy | found | not suspected | levels apart, median |\n|---|---|---|---|")
        for kind, copies in frames.items():
            found = [beside(one, copy) for one, copy in zip(plain, copies, strict=True)]
            levels = [apart for apart, _ in found if apart is not None]
            recall = sum(same for _, same in found) / len(found)
            print(f"| {kind} | {recall:.2f} | {len(found) - len(levels)} | {np.median(levels):.1f} |")
        more = [shrunk(path) for source in options.also for path in sorted(source.iterdir())]
        alarms(plain + (write(folder / "more", more) if more else []))


def shrunk(path: Path) -> Image.Image:
    with Image.open(path) as image:
        picture = image.convert("RGB")
    picture.thumbnail((WIDEST, WIDEST))
    return picture


def write(folder: Path, pictures: list[Image.Image]) -> list[Frame]:
    """The pictures as files, registered, in order."""
    folder.mkdir(parents=True)
    for number, picture in enumerate(pictures):
        picture.save(folder / f"{number:04d}.png")
    store = folder.with_suffix(".duckdb")
    register(store, folder, FramesConfig())
    with reading(store) as con:
        return sorted(find(con, survivors(con, "frames")), key=lambda frame: frame.path)


def levels(frames: list[Frame]) -> np.ndarray:
    return np.stack([signature(frame) for frame in frames]).astype(np.uint8)


def judged(suspect: Suspect, one: Frame, other: Frame) -> tuple[float, bool]:
    """Levels apart, and whether they count as the same."""
    whole, part = (one, other) if suspect.part else (other, one)
    found = align(rgb(whole, LONGEST), rgb(part, LONGEST), suspect.pose)
    return found.levels, found.detail >= SPLIT.leaks.altered and found.levels <= SPLIT.near


def beside(one: Frame, other: Frame) -> tuple[float | None, bool]:
    for suspect in suspects(levels([one]), levels([other])):
        return judged(suspect, one, other)
    return None, False


def alarms(frames: list[Frame]) -> None:
    looks, started = levels(frames), time.process_time()
    found = [suspect for suspect in suspects(looks, looks) if suspect.one < suspect.other]
    searched, pairs = time.process_time() - started, len(frames) ** 2
    started = time.process_time()
    same = [suspect for suspect in found if judged(suspect, frames[suspect.one], frames[suspect.other])[1]]
    laid = time.process_time() - started
    count = len(frames) * (len(frames) - 1) // 2
    print(f"\nOf {count} pairs of photographs {len(found)} are suspected, {len(same)} taken for the same:")
    for suspect in same:
        print(f"  {frames[suspect.one].path.name} and {frames[suspect.other].path.name}, {suspect.pose}")
    each = 1e3 * laid / max(1, len(found))
    print(
        f"CPU: searching {1e6 * searched / pairs:.1f} us a pair, laying one on another {each:.1f} ms, with reading both"
    )


if __name__ == "__main__":
    main()
