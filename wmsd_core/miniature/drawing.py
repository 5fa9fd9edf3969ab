"""Drawing boards, twice: 20x20 frames for the generator, and 320x320 pictures for the image folder.

One geometry serves both. A 20x20 frame is what area-resizing the large picture gives: coverage of each pixel is counted
on a fine grid, for centres rounded to 1/12 pixel. Positions are in cells: (0, 0) is the centre of the top left cell.
"""

from functools import cache

import cv2
import numpy as np

from wmsd_core.arrays import Image
from wmsd_core.miniature.scene import KINDS, RGB, SIDE, Scenes

CELL = 4
"""Pixels along a cell at the generator's resolution."""
SIZE = SIDE * CELL
SCALE = 16
"""Pixels of a picture per pixel of a frame."""
_WINDOW = CELL + 1
_OFFSETS = 12
_FINE = 24


def inside(kind: int, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Whether points, in cells from the object's centre of mass, belong to a shape of this kind."""
    if KINDS[kind] == "circle":
        return x**2 + y**2 <= 0.42**2
    if KINDS[kind] == "triangle":
        return (y <= 0.25) & (np.abs(x) <= 0.46 * (y + 0.5) / 0.75)
    return np.maximum(np.abs(x), np.abs(y)) <= 0.44


@cache
def _patches() -> np.ndarray:
    """float32 [kind, y offset, x offset, 5, 5]: coverage of the pixels around a centre at (2 + offset / 12) pixels."""
    fine = (np.arange(_WINDOW * _FINE) + 0.5) / _FINE
    axes = [(fine - 2 - offset / _OFFSETS) / CELL for offset in range(_OFFSETS)]
    patches = [
        [[inside(k, x[None, :], y[:, None]).reshape(_WINDOW, _FINE, _WINDOW, _FINE).mean((1, 3)) for x in axes]
         for y in axes]
        for k in range(len(KINDS))
    ]  # fmt: skip
    return np.array(patches, dtype=np.float32)


def area(kind: np.ndarray) -> np.ndarray:
    """Pixels covered by shapes of these kinds."""
    return _patches()[:, 0, 0].sum((1, 2))[kind]


def coverage(kind: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """float32 [N, 20, 20]: how much of each pixel the object covers, for `kind` [N] and `centre` [N, 2].

    Centres are kept on the board.
    """
    steps = np.rint((np.clip(centre, 0, SIDE - 1) * CELL) * _OFFSETS).astype(np.int64)
    corner, offset = steps // _OFFSETS, steps % _OFFSETS
    canvas = np.zeros((len(kind), SIZE + 1, SIZE + 1), dtype=np.float32)
    span = np.arange(_WINDOW)
    rows = corner[:, 1, None, None] + span[:, None]
    columns = corner[:, 0, None, None] + span[None, :]
    canvas[np.arange(len(kind))[:, None, None], rows, columns] = _patches()[kind, offset[:, 1], offset[:, 0]]
    return canvas[:, :SIZE, :SIZE]


def paint(under: np.ndarray, cover: np.ndarray, colour: np.ndarray) -> np.ndarray:
    """Lays `colour` [..., 3] over `under` [..., H, W, 3] where `cover` [..., H, W] says how densely."""
    return under + cover[..., None] * (colour[..., None, None, :] - under)


@cache
def _surface() -> np.ndarray:
    """float32 [320, 320]: brightness of the bare board, a faint weave with thin lines between the cells."""
    pixel = np.arange(SIZE * SCALE)
    weave = np.cos(2 * np.pi * pixel / 8)
    edge = np.minimum(pixel % (CELL * SCALE), CELL * SCALE - 1 - pixel % (CELL * SCALE)) < 2
    line = edge[:, None] | edge[None, :]
    return (np.where(line, 0.86, 1.0) * (1 + 0.015 * weave[:, None] * weave[None, :])).astype(np.float32)


def board(tone: np.ndarray) -> np.ndarray:
    """float32 [B, 20, 20, 3]: the bare board in the given tones [B, 3]."""
    return cv2.resize(_surface(), (SIZE, SIZE), interpolation=cv2.INTER_AREA)[..., None] * tone[:, None, None, :]


def draw(scenes: Scenes, things: tuple[int, ...] = (2, 3, 0, 1)) -> np.ndarray:
    """float32 [B, 20, 20, 3] in [0, 1]: the scenes at rest, objects painted in the given order."""
    frame = board(scenes.tone)
    for thing in things:
        cover = coverage(scenes.kinds[:, thing], scenes.cells[:, thing])
        frame = paint(frame, cover, RGB[scenes.colours[:, thing]])
    return frame


def picture(scenes: Scenes, row: int = 0) -> Image:
    """The scene as a 320x320 picture with antialiased edges."""
    fine = (np.arange(SIZE * SCALE * 2) + 0.5) / (CELL * SCALE * 2) - 0.5
    image = _surface()[..., None] * scenes.tone[row]
    for thing in (2, 3, 0, 1):
        column, line = scenes.cells[row, thing]
        mask = inside(scenes.kinds[row, thing], fine[None, :] - column, fine[:, None] - line).astype(np.float32)
        cover = cv2.resize(mask, image.shape[:2], interpolation=cv2.INTER_AREA)
        image = paint(image, cover, RGB[scenes.colours[row, thing]])
    return to_uint8(image)


def bare_picture(tone: np.ndarray) -> Image:
    """The board without objects as a 320x320 picture, in the tone [3]."""
    return to_uint8(_surface()[..., None] * tone)


def to_uint8(frames: np.ndarray) -> np.ndarray:
    """Frames in [0, 1] as bytes."""
    return np.rint(np.clip(frames, 0, 1) * 255).astype(np.uint8)


def shrink(image: Image) -> np.ndarray:
    """Any picture as a float32 [20, 20, 3] frame in [0, 1], by area."""
    if image.shape[:2] != (SIZE, SIZE):
        image = cv2.resize(image, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    return image.astype(np.float32) / 255
