"""How well text laid over pictures is found, with the default threshold, and what it costs.

    python yardsticks/overlays.py IMAGES [--count 60] [--begin 4] [--fonts DejaVuSans.ttf ...]

IMAGES is the folder of `yardsticks/photographs.py`, or one whose files are named like its. First every picture as it is: the
overlay that is measured where there is none, by kind of picture (games have displays of their own). Then text is planted into
some of the photographs: recall is the share of those beyond `filter.max_overlay`; precision the share of planted ones among
those beyond it, where there are as many untouched ones. Fonts are those that come with matplotlib and Pillow. Sizes are at
1280 pixels of width.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from wmsd_core.filters import FilterConfig
from wmsd_core.filters.overlay import overlay

WIDTH, WORKING = 1280, 640
WORDS = ("the", "gate", "opens", "while", "three", "men", "walk", "past", "with", "boxes", "full", "of", "apples")
FONTS = ("DejaVuSans.ttf", "DejaVuSerif-Bold.ttf", "DejaVuSansMono.ttf", "")
Draw = Callable[[ImageDraw.ImageDraw, tuple[int, int], int, str, np.random.Generator], None]


def sentence(rng: np.random.Generator, words: int) -> str:
    return " ".join(rng.choice(WORDS, words)).capitalize() + "."


def font(name: str, size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    if not name:
        return ImageFont.load_default(size)
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts/ttf" / name), size)


def subtitle(draw: ImageDraw.ImageDraw, shape: tuple[int, int], size: int, name: str, rng: np.random.Generator) -> None:
    place = (shape[0] / 2, 0.9 * shape[1])
    outline = {"fill": "white", "stroke_width": 2, "stroke_fill": "black"}
    draw.text(place, sentence(rng, 8), font=font(name, size), anchor="mm", **outline)


def subtitles(
    draw: ImageDraw.ImageDraw, shape: tuple[int, int], size: int, name: str, rng: np.random.Generator
) -> None:
    """Two lines."""
    place, text = (shape[0] / 2, 0.88 * shape[1]), "\n".join(sentence(rng, 7) for _ in range(2))
    outline = {"fill": "white", "stroke_width": 2, "stroke_fill": "black"}
    draw.multiline_text(place, text, font=font(name, size), anchor="mm", align="center", **outline)


def caption(draw: ImageDraw.ImageDraw, shape: tuple[int, int], size: int, name: str, rng: np.random.Generator) -> None:
    """Six lines in a box that lets a third of the picture through."""
    place, text = (0.08 * shape[0], 0.5 * shape[1]), "\n".join(sentence(rng, 8) for _ in range(6))
    left, top, right, bottom = draw.multiline_textbbox(place, text, font=font(name, size))
    draw.rectangle((left - 12, top - 12, right + 12, bottom + 12), fill=(0, 0, 0, 170))
    draw.multiline_text(place, text, font=font(name, size), fill="white")


def page(draw: ImageDraw.ImageDraw, shape: tuple[int, int], size: int, name: str, rng: np.random.Generator) -> None:
    text = "\n".join(sentence(rng, 12) for _ in range(round(0.8 * shape[1] / size / 1.3)))
    outline = {"fill": "white", "stroke_width": 1, "stroke_fill": "black"}
    draw.multiline_text((0.05 * shape[0], 0.08 * shape[1]), text, font=font(name, size), **outline)


def watermark(
    draw: ImageDraw.ImageDraw, shape: tuple[int, int], size: int, name: str, rng: np.random.Generator
) -> None:
    """The same word all over the picture, of which half shows through."""
    for row, y in enumerate(range(60, shape[1], 160)):
        for x in range(-200 * (row % 2), shape[0], 8 * size):
            draw.text((x, y), "©SPECIMEN", font=font(name, size), fill=(255, 255, 255, 128))


PLANTED: dict[str, tuple[Draw, tuple[int, ...]]] = {
    "subtitle line": (subtitle, (28, 40)),
    "two lines": (subtitles, (28, 40)),
    "caption block": (caption, (16, 24, 32)),
    "full-screen text": (page, (20, 32)),
    "watermark": (watermark, (48, 80)),
}


def planted(picture: Image.Image, draw: Draw, size: int, fonts: list[str], rng: np.random.Generator) -> np.ndarray:
    layer = Image.new("RGBA", picture.size)
    draw(ImageDraw.Draw(layer), picture.size, size, fonts[rng.integers(len(fonts))], rng)
    done = np.asarray(Image.alpha_composite(picture.convert("RGBA"), layer).convert("RGB"))[..., ::-1]
    return cv2.imdecode(cv2.imencode(".jpg", done, [cv2.IMWRITE_JPEG_QUALITY, 88])[1], cv2.IMREAD_GRAYSCALE)


def working(grey: np.ndarray) -> np.ndarray:
    size = (WORKING, round(WORKING * grey.shape[0] / grey.shape[1]))
    return cv2.resize(grey, size, interpolation=cv2.INTER_AREA)


def main() -> None:
    parser = argparse.ArgumentParser(description="Recall and precision of the overlay measure on planted text.")
    parser.add_argument("images", type=Path)
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--begin", type=int, default=4, help="First photograph; another one gives another sample.")
    parser.add_argument("--fonts", nargs="+", default=FONTS, help="Files of matplotlib's fonts; '' is Pillow's own.")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    limit = FilterConfig().max_overlay
    print("| as it is | pictures | median | 95 % | 99 % | most | beyond the threshold | CPU ms |")
    print(8 * "|---" + "|")
    for kind in ("photograph", "drawing", "game"):
        files = sorted(options.images.glob(f"*-{kind}.jpg"))
        if not files:
            continue
        greys = [working(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)) for path in files]
        started = time.process_time()
        found = np.array([overlay(grey) for grey in greys])
        cost = 1e3 * (time.process_time() - started) / len(greys)
        quantiles = " | ".join(f"{q:.3f}" for q in np.quantile(found, [0.5, 0.95, 0.99, 1]))
        print(f"| {kind} | {len(files)} | {quantiles} | {(found > limit).sum()} | {cost:.1f} |")
    files = sorted(options.images.glob("*-photograph.jpg"))[options.begin :]
    files = files[:: max(1, len(files) // options.count)][: options.count]
    pictures: list[Image.Image] = []
    for path in files:
        with Image.open(path) as image:
            pictures.append(image.convert("RGB").resize((WIDTH, round(WIDTH * image.height / image.width))))
    untouched = np.array([overlay(working(np.asarray(picture.convert("L")))) for picture in pictures])
    wronged = (untouched > limit).sum()
    print(f"\n{len(files)} photographs, {wronged} beyond {limit:g} as they are\n")
    print("| planted | size | median overlay | recall | precision |\n|---|---|---|---|---|")
    for what, (draw, sizes) in PLANTED.items():
        for size in sizes:
            rng = np.random.default_rng(size)
            found = np.array(
                [overlay(working(planted(picture, draw, size, options.fonts, rng))) for picture in pictures]
            )
            named = (found > limit).sum()
            precision = f"{named / (named + wronged):.2f}" if named + wronged else "-"
            print(f"| {what} | {size} | {np.median(found):.3f} | {named / len(files):.2f} | {precision} |")


if __name__ == "__main__":
    main()
