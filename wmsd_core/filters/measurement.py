"""What is measured on one grey picture: the quantities of the paper's A.6.1, crispness, flatness, and bars.

The paper names the variance of the Laplacian, mean luminance, and the fractions of near-black and near-white pixels,
and rejects "nearly empty" frames as well; which measure it uses for those is not said, flatness is ours. So is crispness: the
variance of the Laplacian passes what is shaken, or grainy over a blur.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import UInt8

from wmsd_core.filters.bars import bars
from wmsd_core.filters.crispness import crispness

BAND = 16
"""A sixteenth of the grey scale: near-black is the lowest (levels 0 to 15), near-white the highest (240 to 255)."""


@dataclass(frozen=True)
class Measurement:
    """Figures of one picture at one working width."""

    sharpness: float
    """Variance of the Laplacian (kernel 0 1 0 / 1 -4 1 / 0 1 0, mirrored border), squared grey levels."""
    crispness: float
    """Fine detail over coarse, along the direction that has least of it: about .15 in a good photograph."""
    luminance: float
    """Mean grey level, 0 to 255."""
    near_black: float
    near_white: float
    flatness: float
    """Share of the most frequent sixteenth of the grey scale, wherever it begins: 1 for an empty frame."""
    bars: float
    """Fraction of the picture that black letterbox or pillarbox bars take."""
    overlay: float | None = None
    """Fraction of the picture that lines of text take; None: not asked for."""


def measure(grey: UInt8[np.ndarray, "H W"]) -> Measurement:
    """Measures a grey picture. Sharpness and flatness depend on its size: compare within one working width only."""
    laplacian = cv2.Laplacian(grey, cv2.CV_16S)  # at most 4 * 255 in size: exact in int16, and several times faster
    mean = cv2.sumElems(laplacian)[0] / grey.size
    mean_square = cv2.norm(laplacian, cv2.NORM_L2SQR) / grey.size  # with the sum, a tenth of what meanStdDev costs
    levels = cv2.calcHist([grey], [0], None, [256], [0, 256]).ravel().astype(np.int64)
    below = np.concatenate([[0], levels.cumsum()])
    bands = (below[BAND:] - below[:-BAND]) / grey.size  # sliding: an empty frame must not hide between two fixed bands
    return Measurement(
        sharpness=mean_square - mean**2,
        crispness=crispness(grey),
        luminance=float(levels @ _LEVELS) / grey.size,
        near_black=float(bands[0]),
        near_white=float(bands[-1]),
        flatness=float(bands.max()),
        bars=bars(grey),
    )


_LEVELS = np.arange(256)
