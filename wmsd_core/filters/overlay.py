"""Text laid over a picture: rows of glyphs, told by how regular they are, and the fraction of the picture they cover.

Strokes are what a top-hat (bright ones) or black-hat (dark ones) leaves, at full and at half size, above two contrasts.
Their connected components of a glyph's size are linked to neighbours in the same row that are as tall and as bright. A
chain of them is text if it is long and low, straight below, closed up, and drawn with strokes of one width. Foliage,
gravel and bricks have strokes too, but no chain that is all of this.

Found: letters 5 to 72 rows tall at 640 pixels of width, horizontal, at least 40 grey levels off their ground. Not found:
logos, icons, bars and maps of a game's display, slanted text, faint watermarks, single words, and letters that run into
each other, as in handwriting or blackletter. Text in the scene itself, such as a shop's sign, counts: it looks the same.
"""

from collections.abc import Iterator

import cv2
import numpy as np
from jaxtyping import Int, UInt8

STROKE = 7
"""Pixels; wider strokes are found at half size."""
CONTRASTS = (40, 90)
"""Grey levels: the lower finds faint text, the higher parts text from a textured ground."""
GLYPH = (5, 36)
"""Least and greatest height in pixels."""
ROW = 7
"""Least number of glyphs of a row."""

Ints = Int[np.ndarray, "N"]
_KERNEL = cv2.getStructuringElement(cv2.MORPH_RECT, (STROKE, STROKE))


def overlay(grey: UInt8[np.ndarray, "H W"]) -> float:
    """Fraction of the picture's area that rows of text take, each as its bounding box. For a width of 640 pixels."""
    covered = np.zeros(grey.shape, np.uint8)
    for scale in (1, 2):
        size = (grey.shape[1] // scale, grey.shape[0] // scale)
        if min(size) < STROKE:
            break
        small = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
        for shape in (cv2.MORPH_TOPHAT, cv2.MORPH_BLACKHAT):
            strokes = cv2.morphologyEx(small, shape, _KERNEL)
            for contrast in CONTRASTS:
                for left, top, right, bottom in _rows(small, (strokes > contrast).astype(np.uint8)):
                    covered[scale * top : scale * bottom, scale * left : scale * right] = 1
    return float(covered.mean())


def _rows(grey: UInt8[np.ndarray, "H W"], ink: UInt8[np.ndarray, "H W"]) -> Iterator[tuple[int, int, int, int]]:
    """Left, top, right and bottom of every row of text among the strokes."""
    count, labels, boxes, _ = cv2.connectedComponentsWithStats(ink, connectivity=8, ltype=cv2.CV_32S)
    left, top, width, height, area = boxes.T.astype(np.int64)
    least, greatest = GLYPH
    fill = area / (width * height)
    # Some letters always touch, so a component may be as wide as a short word. The first is the ground.
    glyph = (height >= least) & (height <= greatest) & (width <= 6 * height) & (fill > 0.2) & (fill < 0.95)
    glyph[0] = False
    chosen = np.flatnonzero(glyph)
    if len(chosen) < ROW:
        return
    drawn = np.flatnonzero(ink)
    level = np.bincount(labels.ravel()[drawn], grey.ravel()[drawn], minlength=count) / area
    chosen = chosen[np.argsort(left[chosen], kind="stable")]
    left, top, height, area, level = (of[chosen] for of in (left, top, height, area, level))
    right, bottom = left + width[chosen], top + height
    row = _joined(len(chosen), *_neighbours(left, top, right, bottom, level))

    glyphs = np.bincount(row)
    start, end = _extremes(row, left, right)
    above, below = _extremes(row, top, bottom)
    tall = np.bincount(row, height) / glyphs
    stroke, uneven = _mean_and_deviation(row, area / np.maximum(right - left, height))
    _, crooked = _mean_and_deviation(row, bottom.astype(float))
    ink_of_row = np.bincount(row, area) / ((end - start) * (below - above))
    closed = np.bincount(row, right - left) / (end - start)
    text = (
        (glyphs >= ROW)
        & (end - start >= 3.5 * (below - above))
        & (below - above <= 1.9 * tall)
        & (crooked <= 0.2 * tall)
        & (uneven <= 0.4 * stroke)
        & (ink_of_row >= 0.15)
        & (ink_of_row <= 0.75)
        & (closed >= 0.5)
        & (closed <= 1.1)  # letters do not lie over each other
    )
    for i in np.flatnonzero(text):
        yield int(start[i]), int(above[i]), int(end[i]), int(below[i])


def _neighbours(left: Ints, top: Ints, right: Ints, bottom: Ints, level: np.ndarray) -> tuple[Ints, Ints]:
    """Pairs of glyphs that follow each other in a row: near, side by side, of like height and brightness.

    The glyphs are in order of their left edge, so that each needs to be compared with the few that begin near it only.
    """
    height = bottom - top
    near = np.searchsorted(left, right + height, side="right") - np.arange(len(left)) - 1
    a = np.repeat(np.arange(len(left)), near)
    b = np.arange(len(a)) - np.repeat(np.cumsum(near) - near, near) + a + 1
    low, high = np.minimum(height[a], height[b]), np.maximum(height[a], height[b])
    shared = np.minimum(bottom[a], bottom[b]) - np.maximum(top[a], top[b])
    alike = (shared >= 0.8 * low) & (high <= 1.8 * low) & (np.abs(level[a] - level[b]) <= 28)
    return a[alike], b[alike]


def _joined(count: int, a: Ints, b: Ints) -> Ints:
    """Number of the group of each of `count` things, of which a[i] and b[i] are in one group."""
    group = np.arange(count)
    while True:
        least = group.copy()
        np.minimum.at(least, a, group[b])
        np.minimum.at(least, b, group[a])
        least = least[least]  # what a member has learnt, all that follow it know: few rounds, however long the chain
        if np.array_equal(least, group):
            return np.unique(group, return_inverse=True)[1]
        group = least


def _extremes(group: Ints, low: Ints, high: Ints) -> tuple[Ints, Ints]:
    """Least of `low` and greatest of `high` in each group."""
    least, greatest = np.full(group.max() + 1, low.max()), np.zeros(group.max() + 1, np.int64)
    np.minimum.at(least, group, low)
    np.maximum.at(greatest, group, high)
    return least, greatest


def _mean_and_deviation(group: Ints, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each group; the standard deviation is that of the group as a population."""
    members = np.bincount(group)
    mean = np.bincount(group, values) / members
    return mean, np.sqrt(np.bincount(group, (values - mean[group]) ** 2) / members)
