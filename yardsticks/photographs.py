"""A thousand JPEGs at 1280x720 and 1920x1080 to measure the filter stage on: photographs, drawings and game frames.

    python yardsticks/photographs.py OUT_DIR [--count 1000] [--seed 0] [--cache DIR]

16:9 crops of wallpapers (Debian packages, fetched with apt-get download and unpacked without being installed), of the
sample photographs of scikit-image and scikit-learn, and frames of games (vizdoom, ale-py). Qualities 75 to 95. OUT_DIR
receives the images and `manifest.jsonl`: file name, kind, origin, crop and quality. Nothing else on the machine changes;
packages and the environment that plays the games are kept in the cache folder. The same seed and the same packages give
the same bytes.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

PACKAGES = [
    "gnome-backgrounds",
    "mate-backgrounds",
    "plasma-workspace-wallpapers",
    "desktop-base",
    "lomiri-wallpapers-16.04",
    "lomiri-wallpapers-20.04",
    "ukui-wallpapers",
]
GAMES = ["vizdoom==1.3.2", "ale-py==0.12.1", "scikit-image==0.26.0", "scikit-learn==1.9.1", "pillow", "numpy"]
PHOTOGRAPHS = frozenset(
    [
        "wood-d",
        "wood-l",
        "Blinds",
        "Dune",
        "LadyBird",
        "RainDrops",
        "Storm",
        "TwoWings",
        "Wood",
        "BytheWater",
        "ColorfulCups",
        "ColdRipple",
        "EveningGlow",
        "DarkestHour",
        "FallenLeaf",
        "Kite",
        "OneStandsOut",
        "Path",
        "summer_1am",
        "aitzgorri",
        "Bridge",
        "Dragonfly",
        "Fossa",
        "Kleiber",
        "Wine",
        "friends",
        "greentock",
        "life",
        "picosdeeuropa",
        "seeding",
        "sunset",
        "umang",
        "free",
        "Picture",
    ]
)
"""Wallpapers that a camera took; the others are drawings."""
EMPTY = frozenset(["MATE-Stripes-Dark", "MATE-Stripes-Light", "Ubuntu-Mate-Dark-no-logo", "symbolic-d", "symbolic-l"])
"""Wallpapers of one colour: defects, and planted ones must be the only ones."""
SHARES = {"photograph": 0.5, "drawing": 0.14, "game": 0.36}
SIZES = ((1280, 720), (1920, 1080))


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the image set that the filter stage is measured on.")
    parser.add_argument("out", type=Path)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "wmsd-photographs")
    options = parser.parse_args()
    make(options.out, options.count, options.seed, options.cache)


def make(out: Path, count: int, seed: int, cache: Path) -> None:
    """Writes `count` images and the manifest."""
    out.mkdir(parents=True, exist_ok=True)
    sources: dict[str, list[Path]] = {"photograph": [], "drawing": [], "game": list(game_frames(cache, seed))}
    for path in [*wallpapers(cache), *samples(cache)]:
        sources[kind_of(path)].append(path)
    rows: list[dict[str, object]] = []
    for kind, share in SHARES.items():
        wanted = round(share * count)
        for number in range(wanted):
            path = sources[kind][number * len(sources[kind]) // wanted]
            rng = np.random.default_rng([seed, len(rows)])
            picture, crop = cut(path, rng)
            quality = int(rng.integers(75, 96))
            name = f"{len(rows):04d}-{kind}.jpg"
            picture.save(out / name, quality=quality)
            rows.append({"name": name, "kind": kind, "origin": path.stem, "crop": crop, "quality": quality})
    (out / "manifest.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    print(f"{len(rows)} images in {out}: " + ", ".join(f"{len(v)} {k} sources" for k, v in sources.items()))


def cut(path: Path, rng: np.random.Generator) -> tuple[Image.Image, list[int]]:
    """A 16:9 window of a picture, at one of the two sizes, and the window. Only pictures smaller than it are enlarged."""
    with Image.open(path) as opened:
        image = opened.convert("RGB")
    if image.size in SIZES:
        return image, [0, 0, *image.size]
    size = SIZES[int(rng.integers(2))]
    widest = min(image.width, image.height * 16 // 9)
    width = int(rng.integers(min(size[0], widest), widest + 1))
    height = width * 9 // 16
    left, top = int(rng.integers(image.width - width + 1)), int(rng.integers(image.height - height + 1))
    box = (left, top, left + width, top + height)
    return image.resize(size, Image.Resampling.LANCZOS, box=box), list(box)


def kind_of(path: Path) -> str:
    """Photograph or drawing, by the name of the wallpaper; Plasma's packages have it in the folder's name."""
    name = path.parents[2].name if path.parent.name.startswith("images") else path.stem.split("_")[0]
    return "photograph" if path.parent.name == "samples" or name in PHOTOGRAPHS else "drawing"


def wallpapers(cache: Path) -> Iterator[Path]:
    """Landscape pictures of the packages, at least 1920 pixels wide; of several versions of one, the largest."""
    folder = cache / "wallpapers"
    if not folder.exists():
        packages = cache / "packages"
        packages.mkdir(parents=True, exist_ok=True)
        subprocess.run(["apt-get", "download", *PACKAGES], cwd=packages, check=True)
        for package in sorted(packages.glob("*.deb")):
            subprocess.run(["dpkg-deb", "-x", str(package), str(folder)], check=True)
    best: dict[str, tuple[int, Path]] = {}
    for path in sorted([*folder.rglob("*.jpg"), *folder.rglob("*.png"), *folder.rglob("*.webp")]):
        shown = path.parts[path.parts.index("share") + 1]
        if path.is_symlink() or shown not in ("backgrounds", "wallpapers") or path.stem in EMPTY:
            continue
        with Image.open(path) as image:
            width, height = image.size
        title = str(path.parent) if path.parent.name.startswith("images") else re.sub(r"_\d+x\d+$", "", path.stem)
        if width >= 1920 and width > height and width > best.get(title, (0, path))[0]:
            best[title] = (width, path)
    return (path for _, path in best.values())


def samples(cache: Path) -> Iterator[Path]:
    """The sample photographs of scikit-image and scikit-learn, as they come with the packages."""
    return rendered(cache, "samples")


def game_frames(cache: Path, seed: int) -> Iterator[Path]:
    return rendered(cache, "games", str(seed))


def rendered(cache: Path, what: str, *arguments: str) -> Iterator[Path]:
    """The pictures that `games.py` writes; a folder of its name is complete."""
    folder = cache / "-".join((what, *arguments))
    if not folder.exists():
        partial = folder.with_suffix(".partial")
        script = Path(__file__).resolve().with_name("games.py")
        command = [environment(cache), str(script), what, str(partial.resolve()), *arguments]
        subprocess.run(command, cwd=cache, check=True)  # vizdoom writes its settings where it is started
        partial.rename(folder)
    return iter(sorted(folder.iterdir()))


def environment(cache: Path) -> str:
    """The Python of an environment with the games and samples in it; it is made if it is not there."""
    python = cache.resolve() / "environment" / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(python.parents[1])], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *GAMES], check=True)
    return str(python)


if __name__ == "__main__":
    main()
