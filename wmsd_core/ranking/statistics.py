"""A scorer that needs no weights: classical image statistics. It is NOT an aesthetic model.

It prefers colourful, contrasty pictures to grey, flat ones, which removes the dullest tail of a set and no more: it
knows nothing of composition or subject. Use `LaionAesthetic` where its weights are at hand.
"""

import math

import cv2
import numpy as np

from wmsd_core.arrays import Image

_OPPONENTS = np.array([[1, -1, 0], [0.5, 0.5, -1]], dtype=np.float32)


class ImageStatistics:
    """log(1 + colourfulness) + log(1 + contrast) + log(1 + detail), each in grey levels: no single one dominates."""

    name = "image-statistics/1"

    @staticmethod
    def score(image: Image) -> float:
        """0 for a uniform grey picture."""
        return sum(math.log1p(term(image)) for term in (colourfulness, contrast, detail))


def colourfulness(rgb: Image) -> float:
    """sqrt(var rg + var yb) + .3 sqrt(mean rg ^2 + mean yb ^2) with rg = R - G, yb = (R + G)/2 - B, in grey levels.

    Hasler and Suesstrunk, "Measuring colourfulness in natural images", 2003: 0 for grey, 109 for extremely colourful.
    """
    opponents = cv2.transform(rgb.astype(np.float32), _OPPONENTS)
    mean, deviation = cv2.meanStdDev(opponents)
    return math.hypot(*deviation[:, 0]) + 0.3 * math.hypot(*mean[:, 0])


def contrast(rgb: Image) -> float:
    """Standard deviation of the grey level: 127.5 for half black, half white."""
    return float(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).std())


def detail(rgb: Image) -> float:
    """Standard deviation of the Laplacian in grey levels, at the size given."""
    return float(cv2.Laplacian(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), cv2.CV_16S).std())
