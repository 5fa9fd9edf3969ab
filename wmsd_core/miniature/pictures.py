"""A folder of image files from the miniature, with planted defects, for the stages that gather and filter images.

The truth about each file is written elsewhere, so that nothing in the folder gives it away.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from pydantic import Field, model_validator

from wmsd_core.arrays import Image
from wmsd_core.config import Config
from wmsd_core.files import replacing
from wmsd_core.miniature import planner
from wmsd_core.miniature.drawing import SCALE, SIZE, bare_picture, picture, to_uint8
from wmsd_core.miniature.scene import Scenes, sample
from wmsd_core.seeds import derive

GOOD = "good"
TASKS = 8
"""Tasks that every good picture offers at least."""
_JPEG_SHARE = 0.25


class RenderConfig(Config):
    """A folder of pictures, some of them defective."""

    n: int = Field(default=240, gt=0)
    """Number of files."""
    seed: int = 0
    """Run seed."""
    blurred: float = Field(default=0.03, ge=0, le=1)
    """Share of pictures out of focus."""
    dark: float = Field(default=0.03, ge=0, le=1)
    """Share of pictures that are nearly black."""
    bright: float = Field(default=0.03, ge=0, le=1)
    """Share of pictures that are nearly white."""
    empty: float = Field(default=0.03, ge=0, le=1)
    """Share of boards without objects, or of one colour throughout."""
    truncated: float = Field(default=0.02, ge=0, le=1)
    """Share of image files that end early."""
    duplicate: float = Field(default=0.03, ge=0, le=1)
    """Share of files with the bytes of an earlier file."""
    misnamed: float = Field(default=0.02, ge=0, le=1)
    """Share of files whose extension names another image format than their bytes have."""
    text: float = Field(default=0.01, ge=0, le=1)
    """Share of text files with an image's extension."""

    @model_validator(mode="after")
    def _leaves_good_pictures(self) -> "RenderConfig":
        if (total := sum(self.defects().values())) > 0.9:
            raise ValueError(f"the shares of defects sum to {total:g}; lower them to .9 or less")
        return self

    def defects(self) -> dict[str, float]:
        """Share of files by kind of defect."""
        kinds = ("blurred", "dark", "bright", "empty", "truncated", "duplicate", "misnamed", "text")
        return {kind: getattr(self, kind) for kind in kinds}


def render(folder: Path, truth: Path, config: RenderConfig) -> Iterator[int]:
    """Writes the files that are missing from `folder`, and yields how many are there after each.

    `truth`, outside of `folder`, receives JSON before the first picture is written: file name -> "good" or a kind of
    defect. Each file's bytes depend on the config only.

    Raises:
        ValueError: `truth` lies within `folder`.
    """
    if truth.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"{truth} lies within {folder}; choose a path outside, where no stage takes it for data")
    folder.mkdir(parents=True, exist_ok=True)
    kinds = _kinds(config)
    names = [f"{index:05d}.{'jpg' if _is_jpeg(config, index) else 'png'}" for index in range(config.n)]
    _write(truth, json.dumps(dict(zip(names, kinds, strict=True)), indent=1).encode())
    for index, name in enumerate(names):
        if not (folder / name).exists():
            _write(folder / name, _file(config, kinds, index))
        yield index + 1


def suitable(rng: np.random.Generator) -> Scenes:
    """One scene that offers at least `TASKS` tasks."""
    while len(planner.plans(scene := sample(rng, 1), 0)) < TASKS:
        pass
    return scene


def _kinds(config: RenderConfig) -> list[str]:
    """What is planted in each file. File 0 is good, so that each duplicate has an original before it."""
    kinds = [GOOD] * config.n
    planted = [kind for kind, share in config.defects().items() for _ in range(round(share * config.n))]
    order = np.random.default_rng(derive(config.seed, "defects")).permutation(config.n - 1) + 1
    for index, kind in zip(order, planted, strict=False):
        kinds[index] = kind
    return kinds


def _is_jpeg(config: RenderConfig, index: int) -> bool:
    return np.random.default_rng(derive(config.seed, "format", index=index)).random() < _JPEG_SHARE


def _file(config: RenderConfig, kinds: list[str], index: int) -> bytes:
    """The bytes of file `index`."""
    kind = kinds[index]
    rng = np.random.default_rng(derive(config.seed, "picture", index=index))
    jpeg = _is_jpeg(config, index)
    if kind == "text":
        return f"This is not a picture. It is number {index}.\n".encode()
    if kind == "duplicate":
        originals = [other for other in range(index) if kinds[other] == GOOD]
        return _file(config, kinds, int(rng.choice(originals)))
    image = picture(suitable(rng))
    if kind == "blurred":
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(9, 14)).astype(np.uint8)
    elif kind == "dark":
        image = to_uint8(image / 255 * rng.uniform(0.03, 0.08))
    elif kind == "bright":
        image = to_uint8(1 - (1 - image / 255) * rng.uniform(0.02, 0.06))
    elif kind == "empty":
        image = _empty(rng)
    content = _encode(image, jpeg != (kind == "misnamed"))
    return content[: int(len(content) * rng.uniform(0.2, 0.6))] if kind == "truncated" else content


def _empty(rng: np.random.Generator) -> Image:
    """A bare board, or one flat colour."""
    tone = sample(rng, 1).tone[0]
    flat = np.broadcast_to(tone, (SIZE * SCALE, SIZE * SCALE, 3))
    return bare_picture(tone) if rng.random() < 0.5 else to_uint8(flat)


def _encode(image: Image, jpeg: bool) -> bytes:
    options = (".jpg", [cv2.IMWRITE_JPEG_QUALITY, 92]) if jpeg else (".png", [cv2.IMWRITE_PNG_COMPRESSION, 6])
    return cv2.imencode(options[0], cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options[1])[1].tobytes()


def _write(path: Path, content: bytes) -> None:
    with replacing(path) as partial:
        partial.write_bytes(content)
