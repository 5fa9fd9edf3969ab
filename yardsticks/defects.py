"""How well graded defects are found on photographs, by the stage with its default thresholds.

    python yardsticks/defects.py IMAGES [--count 62]

IMAGES is the folder of `yardsticks/photographs.py`, or one of other photographs. Each
defect is planted at several severities into the same
photographs, written as JPEG, and judged beside the untouched ones, soft and dark photographs included. Recall: share of
the planted ones that are dropped for this defect. Precision: share of those dropped for it that are planted, where there
are as many untouched ones. Severities are at 1280 pixels of width.
"""

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from wmsd_core.filters import FilterConfig, MeasureConfig, decide, measure_frames
from wmsd_core.filters.truth import REASONS
from wmsd_core.frames import FramesConfig, register
from wmsd_core.store import query, reading
from wmsd_core.store.funnel import survivors

Change = Callable[[np.ndarray, float], np.ndarray]


def blurred(image: np.ndarray, sigma: float) -> np.ndarray:
    return cv2.GaussianBlur(image, (0, 0), sigma * image.shape[1] / 1280)


def smeared(image: np.ndarray, pixels: float) -> np.ndarray:
    """Moved while it was exposed; the direction is drawn from the picture."""
    angle = np.random.default_rng(int(image[0].sum())).uniform(0, np.pi)
    return moved(image, pixels * image.shape[1] / 1280, angle)


def moved(image: np.ndarray, length: float, angle: float) -> np.ndarray:
    """Exposed along a straight line of `length` pixels, at `angle` radians from the horizontal."""
    side = 2 * int(np.ceil(length / 2)) + 3
    kernel = np.zeros((side, side), np.float32)
    for t in np.linspace(-length / 2, length / 2, 2001):
        x, y = side // 2 + t * np.cos(angle), side // 2 - t * np.sin(angle)
        left, top = int(x), int(y)
        for row, share_y in ((top, top + 1 - y), (top + 1, y - top)):
            for column, share_x in ((left, left + 1 - x), (left + 1, x - left)):
                kernel[row, column] += share_x * share_y
    return cv2.filter2D(image, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REFLECT)


def grainy(image: np.ndarray, levels: float) -> np.ndarray:
    """Out of focus by a sigma of 3, and then noise of the sensor."""
    grain = np.random.default_rng(0).normal(0, levels, image.shape)
    return (blurred(image, 3) + grain).round().clip(0, 255).astype(np.uint8)


def darkened(image: np.ndarray, gamma: float) -> np.ndarray:
    return (255 * (image / 255) ** gamma).astype(np.uint8)


def brightened(image: np.ndarray, gamma: float) -> np.ndarray:
    return (255 * (image / 255) ** (1 / gamma)).astype(np.uint8)


def flattened(image: np.ndarray, contrast: float) -> np.ndarray:
    mean = image.mean()
    return (mean + (image - mean) * contrast).clip(0, 255).astype(np.uint8)


def boxed(image: np.ndarray, ratio: float) -> np.ndarray:
    """Letterboxed to a film's shape, in the black of video."""
    rows = round((image.shape[0] - image.shape[1] / ratio) / 2)
    found = np.full_like(image, 16)
    found[rows:-rows] = image[rows:-rows]
    return found


DEFECTS: dict[str, tuple[Change, str, tuple[float, ...]]] = {
    "blurred": (blurred, "Gaussian blur, sigma in pixels", (1, 2, 3, 4, 6, 8)),
    "smeared": (smeared, "motion of pixels", (9, 15, 31)),
    "grainy": (grainy, "sigma 3 and noise of", (3, 6)),
    "dark": (darkened, "gamma", (2, 3, 4, 6, 8)),
    "bright": (brightened, "gamma of", (2, 4, 8, 16)),
    "empty": (flattened, "contrast times", (0.5, 0.3, 0.2, 0.1, 0.05)),
    "bars": (boxed, "letterbox, ratio", (1.85, 2.0, 2.39)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Precision and recall on planted defects, by severity.")
    parser.add_argument("images", type=Path)
    parser.add_argument("--count", type=int, default=62)
    options = parser.parse_args()
    files = sorted(options.images.glob("*-photograph.jpg")) or sorted(options.images.iterdir())
    files = files[:: max(1, len(files) // options.count)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "images").mkdir()
        for path in files:
            image = cv2.imread(str(path), cv2.IMREAD_COLOR)
            plant(folder / "images", path.stem, "good", 0, image)
            for defect, (change, _, severities) in DEFECTS.items():
                for severity in severities:
                    plant(folder / "images", path.stem, defect, severity, change(image, severity))
        dropped = reasons(folder / "store.duckdb", folder / "images")
    lost = sum(name.startswith("good_") for name in dropped)
    print(f"{len(files)} photographs, {lost} of the untouched dropped\n")
    print("| defect | severity | recall | precision |\n|---|---|---|---|")
    for defect, (_, unit, severities) in DEFECTS.items():
        kind = "blurred" if defect in ("smeared", "grainy") else defect
        names = REASONS.get(kind, frozenset({kind}))
        accused = {name for name, found in dropped.items() if found & names}
        wronged = sum(name.startswith("good_") for name in accused)
        for severity in severities:
            named = sum(name.startswith(f"{defect}_{severity:g}_") for name in accused)
            precision = f"{named / (named + wronged):.2f}" if named + wronged else "-"
            print(f"| {defect} | {unit} {severity:g} | {named / len(files):.2f} | {precision} |")


def plant(folder: Path, stem: str, defect: str, severity: float, image: np.ndarray) -> None:
    cv2.imwrite(str(folder / f"{defect}_{severity:g}_{stem}.jpg"), image, [cv2.IMWRITE_JPEG_QUALITY, 88])


def reasons(store: Path, images: Path) -> dict[str, set[str]]:
    """File name -> the reasons it was dropped for."""
    register(store, images, FramesConfig())
    with reading(store) as con:
        ids = survivors(con, "frames")
    measure_frames(store, ids, MeasureConfig(), threads=2)
    decide(store, MeasureConfig(), FilterConfig())
    found: dict[str, set[str]] = {}
    with reading(store) as con:
        for row in query(con, "SELECT path, reason FROM rejections WHERE stage = 'filter'"):
            found.setdefault(Path(row["path"]).name, set()).add(row["reason"])
    return found


if __name__ == "__main__":
    main()
