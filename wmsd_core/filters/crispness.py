"""Blur of any kind: how much finer detail a picture has than coarse, along the direction that has least of it.

The mean square difference of pixels one step apart is to that of pixels four steps apart as 1 to 4 where edges are hard,
and as 1 to 16 where everything is smooth. Motion smears one direction only, so each of four is measured, and the least
ratio is weighed by how far it lies below the middle of the four. Contrast cancels. Noise would pass for fine detail: what
it adds to a difference is read off the calmest patches and taken off both.

Unlike the variance of the Laplacian this does not depend on how much there is to see, and a smeared picture whose edges
along the motion stayed hard does not pass. Fine, faint grain all over a picture passes for noise.
"""

import cv2
import numpy as np
from jaxtyping import UInt8

FAR = 4
"""Steps of the coarse differences."""
PATCH = (4, 32)
"""Rows and columns over which noise is averaged; of the rows every eighth is looked at."""
CALMEST = 0.02
"""Share of the patches that are taken to show nothing but noise. Patches without any difference, such as burnt-out sky,
do not count."""
BY_CHANCE = 1.3
"""Of equally noisy patches the calmest lie about a quarter below their mean."""
GRAINIEST = 50.0
"""Squared grey levels, noise of 5 levels: where the calmest patches differ by more, they show texture."""
LEAST = 1.0
"""Squared grey levels: a direction with less coarse structure says nothing."""

_DIRECTIONS = ((0, 1), (1, 0), (1, 1), (1, -1))


def crispness(grey: UInt8[np.ndarray, "H W"]) -> float:
    """About .25 for hard edges, .15 for a good photograph at 640 pixels of width, below .08 if it is out of focus or shaken;
    1 for a picture that shows too little to tell, or is too small."""
    height, width = grey.shape[0] - 2 * FAR, grey.shape[1] - 2 * FAR
    if min(height, width) <= 0:
        return 1.0

    def shifted(down: int, right: int) -> np.ndarray:
        return grey[FAR + down : FAR + down + height, FAR + right : FAR + right + width]

    here = shifted(0, 0)
    noise = _noise(*(cv2.absdiff(here[::8], shifted(*step)[::8]) for step in _DIRECTIONS[:2]))
    ratios: list[float] = []
    for down, right in _DIRECTIONS:
        fine = cv2.norm(here, shifted(down, right), cv2.NORM_L2SQR) / here.size - noise
        coarse = cv2.norm(here, shifted(FAR * down, FAR * right), cv2.NORM_L2SQR) / here.size - noise
        if coarse >= LEAST:
            ratios.append(max(fine, 0.0) / coarse)
    if not ratios:
        return 1.0
    ratios.sort()
    least, middle = ratios[0], (ratios[len(ratios) // 2] + ratios[(len(ratios) - 1) // 2]) / 2
    return least**2 / middle if middle else 0.0


def _noise(along: np.ndarray, across: np.ndarray) -> float:
    """Mean square of the differences in the calmest patches, each seen along the direction in which it is calmer."""
    patches = np.minimum(_energy(along), _energy(across))
    patches = patches[patches > 0]
    rank = int(CALMEST * len(patches))
    return min(BY_CHANCE * float(np.partition(patches, rank)[rank]), GRAINIEST) if rank else 0.0


def _energy(difference: UInt8[np.ndarray, "H W"]) -> np.ndarray:
    """Mean square of each patch; what fills none at the lower and right border is left out."""
    rows, columns = difference.shape[0] // PATCH[0], difference.shape[1] // PATCH[1]
    if not rows * columns:
        return np.empty(0, np.float32)
    squares = difference[: rows * PATCH[0], : columns * PATCH[1]].astype(np.float32)
    squares *= squares
    return cv2.resize(squares, (columns, rows), interpolation=cv2.INTER_AREA).ravel()
