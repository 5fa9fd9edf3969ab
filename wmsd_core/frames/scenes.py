"""Where the scenes of a video begin: hard cuts, and frames that show nothing.

With I_t the picture at time t, averaged to few pixels, and c_t = mean |I_t - I_(t-1)| in levels, a scene begins at t where
(1) c_t >= threshold, (2) c_t >= 3 mean(c_(t-2), c_(t-1), c_(t+1), c_(t+2)), and (3) mean |I_(t+2) - I_(t-3)| >= threshold.
(2) adapts to what moves: a pan changes every frame, a cut one. (3) leaves out a flash, after which the old picture is back.
A fade through black or white ends a scene by its blank frames. A dissolve does not: its two pictures are one scene.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import TypeVar

import numpy as np

from wmsd_core.arrays import Image

T = TypeVar("T")

RATIO = 3.0
BEFORE, AFTER = 3, 2
"""Pictures that a decision looks at; it is known `AFTER` frames late."""
BLANK = 3.0
"""Levels: a picture whose grey levels have a smaller standard deviation shows nothing."""


def cuts(pictures: Iterable[tuple[Image, T]], threshold: float) -> Iterator[tuple[T, bool]]:
    """For each (picture, item) in order the item, and whether a scene begins with it; the first frame is no cut."""
    window: deque[tuple[Image, T]] = deque(maxlen=BEFORE + 1 + AFTER)
    for picture, item in pictures:
        if not window:
            window.extend([(picture, item)] * BEFORE)  # before the first picture, and behind the last, nothing changes
        window.append((picture, item))
        if len(window) == window.maxlen:
            yield window[BEFORE][1], _is_cut([p for p, _ in window], threshold)
    for _ in range(AFTER if window else 0):
        window.append(window[-1])
        if len(window) == window.maxlen:
            yield window[BEFORE][1], _is_cut([p for p, _ in window], threshold)


def is_blank(picture: Image) -> bool:
    """Whether a picture shows nothing: black, white or one colour, as in the middle of a fade."""
    return float(picture.mean(2).std()) < BLANK


def _is_cut(window: list[Image], threshold: float) -> bool:
    changes = [change(one, other) for one, other in pairwise(window)]
    here = changes.pop(BEFORE - 1)
    return here >= max(threshold, RATIO * float(np.mean(changes))) and change(window[0], window[-1]) >= threshold


def change(one: Image, other: Image) -> float:
    """Mean absolute difference, in levels."""
    return float(np.abs(one.astype(np.int16) - other).mean())
