"""Reading a board from its pixels: which object stands in which cell. Knows the palette and shapes, no ground truth.

The pattern of the bare board is the median over all cells. What a cell shows beyond it is compared with each kind's
coverage c: the best colour is least squares, and what it leaves unexplained tells which kind fits.
"""

from dataclasses import dataclass

import numpy as np

from wmsd_core.miniature.drawing import CELL, coverage
from wmsd_core.miniature.scene import KINDS, RGB, SIDE, SQUARE, Scenes

_CLEAR = 0.12
"""RMS difference from the board, over a cell, from which on a cell counts as occupied."""
_MISFIT = 0.07
"""Largest RMS difference between an object and its drawing, over its cell."""
_TAINT = 0.05
"""Largest RMS difference of a cell without object from the board."""


@dataclass(frozen=True)
class Perceived:
    """Boards as seen. Rows with a `reason` show no proper board; their scenes are meaningless."""

    scenes: Scenes
    bare: np.ndarray
    """float32 [B, 20, 20, 3]: the board without any object."""
    reasons: tuple[str, ...]
    """Empty where two movers and two places were seen."""

    @property
    def valid(self) -> np.ndarray:
        """bool [B]"""
        return np.array([not reason for reason in self.reasons])


def perceive(frames: np.ndarray) -> Perceived:
    """The scenes shown by `frames`, float32 [B, 20, 20, 3] in [0, 1]."""
    count = len(frames)
    cells = frames.reshape(count, SIDE, CELL, SIDE, CELL, 3).transpose(0, 1, 3, 2, 4, 5).reshape(count, SIDE**2, -1, 3)
    pattern = np.median(cells, axis=1)
    over = cells - pattern[:, None]
    energy = np.square(over).mean((2, 3))
    order = np.argsort(-energy, axis=1)
    rows = np.arange(count)[:, None]
    found = over[rows, order[:, :4]]
    tone = pattern.mean(1)

    masks = _masks()
    shade = np.einsum("kp,bopc->bokc", masks, found) / np.square(masks).sum(1)[:, None]
    left = np.square(found[:, :, None] - masks[:, :, None] * shade[:, :, :, None]).mean((3, 4))
    kind = left.argmin(2)
    misfit = np.sqrt(left.min(2))
    colour_seen = shade[rows, np.arange(4), kind] + tone[:, None]
    distance = np.square(colour_seen[:, :, None] - RGB).sum(-1)
    colour = distance.argmin(2)

    # Movers come before places; within each, the order is that of the cells, so that it says nothing.
    sequence = np.argsort((kind == SQUARE) * SIDE**2 + order[:, :4], axis=1)
    kind, colour, cell, misfit = (a[rows, sequence] for a in (kind, colour, order[:, :4], misfit))
    scenes = Scenes(colour, kind, np.stack([cell % SIDE, cell // SIDE], axis=-1), tone.astype(np.float32))
    strength = np.sqrt(energy[rows, order])
    reasons = tuple(_reason(*row) for row in zip(strength, kind, colour, misfit, distance.min(2).max(1), strict=True))
    bare = np.tile(pattern.reshape(count, CELL, CELL, 3), (1, SIDE, SIDE, 1))
    return Perceived(scenes, bare.astype(np.float32), reasons)


def _masks() -> np.ndarray:
    """float32 [kind, 16]: coverage of a cell's pixels by an object in its middle."""
    kinds = np.arange(len(KINDS))
    return coverage(kinds, np.zeros((len(kinds), 2)))[:, :CELL, :CELL].reshape(len(kinds), -1)


def _reason(strength: np.ndarray, kind: np.ndarray, colour: np.ndarray, misfit: np.ndarray, distance: float) -> str:
    """Why this is no proper board, or nothing. `strength` is sorted, all cells; the others are of the four objects."""
    if strength[3] < _CLEAR:
        return f"{int((strength >= _CLEAR).sum())} objects stand out from the board, not 4"
    if strength[4] > _TAINT:
        return "cells without an object differ from the board"
    if misfit.max() > _MISFIT or distance > 0.09:
        return "objects have no known shape or colour"
    if (kind == SQUARE).sum() != 2:
        return f"{int((kind == SQUARE).sum())} of the objects are places, not 2"
    if len(set(colour.tolist())) < 4:
        return "two objects have the same colour"
    return ""
