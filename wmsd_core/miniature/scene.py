"""What a board shows: two movers and two places, four colours, four cells.

Cells are (column, row), counted from 0 at the top left; texts count from 1. Objects 0 and 1 are the movers, 2 and 3 the
places. Array axes: B scenes, 4 objects, 2 coordinates.
"""

from dataclasses import dataclass, fields

import numpy as np

SIDE = 5
"""Cells along each side of the board."""
PALETTE = {
    "red": (0.85, 0.15, 0.15),
    "green": (0.12, 0.60, 0.22),
    "blue": (0.13, 0.32, 0.90),
    "yellow": (0.95, 0.76, 0.05),
    "purple": (0.62, 0.15, 0.85),
    "black": (0.12, 0.12, 0.14),
}
"""RGB in [0, 1]. No two of them lie on one line through the board's tone, so that a pixel can be unmixed."""
COLOURS = tuple(PALETTE)
KINDS = ("circle", "triangle", "square")
"""Shapes: the first two move, the third is a place."""
SQUARE = 2
TONE = (0.93, 0.91, 0.87)
"""The board's mean colour; each scene varies it a little."""
RGB = np.array(list(PALETTE.values()), dtype=np.float32)


@dataclass(frozen=True)
class Scenes:
    """B scenes. A row is one board."""

    colours: np.ndarray
    """int64 [B, 4], index into `COLOURS`, distinct in a row."""
    kinds: np.ndarray
    """int64 [B, 4], index into `KINDS`."""
    cells: np.ndarray
    """int64 [B, 4, 2], (column, row), distinct in a row."""
    tone: np.ndarray
    """float32 [B, 3], the board's colour in [0, 1]."""

    def __len__(self) -> int:
        return len(self.colours)

    def select(self, rows: np.ndarray) -> "Scenes":
        """The given rows (indices or a mask), in that order."""
        return Scenes(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})

    def name(self, row: int, thing: int) -> str:
        """How texts call object `thing` of scene `row`: "red circle"."""
        return f"{COLOURS[self.colours[row, thing]]} {KINDS[self.kinds[row, thing]]}"


def sample(rng: np.random.Generator, count: int) -> Scenes:
    """`count` random scenes."""
    colours = rng.random((count, len(COLOURS))).argsort(1)[:, :4]
    cells = rng.random((count, SIDE * SIDE)).argsort(1)[:, :4]
    movers = rng.integers(0, SQUARE, (count, 2))
    tone = np.array(TONE) + rng.uniform(-0.02, 0.02, (count, 3))
    return Scenes(
        colours=colours,
        kinds=np.concatenate([movers, np.full((count, 2), SQUARE)], axis=1),
        cells=np.stack([cells % SIDE, cells // SIDE], axis=-1),
        tone=tone.astype(np.float32),
    )
