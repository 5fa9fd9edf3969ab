"""Letterbox and pillarbox: black bars that were added to a picture to give it another shape.

A bar is told from a dark part of the scene by three things: it reaches across the whole picture and is black
throughout, it has a twin of the same width at the other side, and it ends in a straight edge, beyond which the picture
begins along a good part of its length. A night sky has none of the last two. Not found: bars that are not black, a
single bar, bars with a logo or subtitles in them, and bars around a scene that is itself black at both edges.
"""

import numpy as np
from jaxtyping import UInt8

BLACK = 28
"""Levels up to this are black: 16 is the black of video, and JPEG adds some noise."""
THINNEST = 0.01
"""Share of the picture's side below which a dark line is no bar."""
EDGE = 6
"""Rows within which the picture must begin: scaling and the ringing of JPEG blur the edge."""
LIT = 0.3
"""Share of the edge along which there is something other than black, mean of both sides."""


def bars(grey: UInt8[np.ndarray, "H W"]) -> float:
    """Fraction of the picture's area that is bars; 0 where there are none, and for a picture that is all black."""
    top = _width(grey)
    left = _width(grey[top : len(grey) - top].T)
    return 1 - (1 - 2 * top / grey.shape[0]) * (1 - 2 * left / grey.shape[1])


def _width(grey: UInt8[np.ndarray, "H W"]) -> int:
    """Rows of the bar at the top, which has a twin at the bottom; 0 if there is no such pair."""
    least = max(2, round(THINNEST * len(grey)))
    if grey[:least].max() > BLACK or grey[-least:].max() > BLACK:
        return 0  # nearly every picture ends here
    lit = np.flatnonzero(grey.max(axis=1) > BLACK)
    if len(lit) == 0:
        return 0
    top, bottom = int(lit[0]), len(grey) - 1 - int(lit[-1])
    if abs(top - bottom) > max(EDGE, 0.1 * max(top, bottom)):
        return 0
    edges = grey[top : top + EDGE], grey[len(grey) - bottom - EDGE : len(grey) - bottom]
    begins = np.mean([(edge.max(axis=0) > BLACK).mean() for edge in edges])
    return min(top, bottom) if begins >= LIT else 0
