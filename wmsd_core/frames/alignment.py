"""Whether one picture is a part of another: laid over it, pixel by pixel.

The pose that `windows` suspects is refined by ECC (Evangelidis and Psarakis, PAMI 2008), which ignores brightness and
contrast. Then two things are asked. Does the fine detail agree, everything coarser than a few pixels taken away? Of
unlike pictures it does not, however alike they look from afar. And how many levels are the two apart, averaged to 16x16
RGB, when brightness and contrast are evened out? Pictures of one place with something else in it agree in most of their detail.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float32

from wmsd_core.arrays import Image
from wmsd_core.frames.decode import Grey
from wmsd_core.frames.likeness import SIDE
from wmsd_core.frames.windows import Pose, evened

LONGEST = 256
"""Pixels of the longer side at which pictures are compared."""
_STEPS, _PRECISION = 40, 1e-4
_SHARED = 0.7
"""Share of the part that must lie within the whole."""


@dataclass(frozen=True)
class Alignment:
    """How well one picture lies on the other."""

    detail: float
    """Correlation of what is left of both without their coarse structure, -1 to 1."""
    levels: float
    """Root mean square difference over 16x16 RGB, in levels, after brightness and contrast were evened out."""


_WHITE, _COUNTED = 250, 0.2
"""Where a picture was made brighter, levels from the first on were cut off; they are left out if that leaves this share."""
NONE = Alignment(0.0, float("inf"))


def align(whole: Image, part: Image, pose: Pose) -> Alignment:
    """How well `part` lies on `whole`, at `pose` or near it; both at most `LONGEST` pixels long."""
    part = np.ascontiguousarray(part[:: -1 if pose.upturned else 1, :: -1 if pose.swapped else 1])
    grey, its = cv2.cvtColor(whole, cv2.COLOR_RGB2GRAY), cv2.cvtColor(part, cv2.COLOR_RGB2GRAY)
    place = _place(pose, grey.shape, its.shape)
    found = _laid(whole, part, place)
    try:
        ends = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, _STEPS, _PRECISION)
        _, place = cv2.findTransformECC(its, grey, place, cv2.MOTION_AFFINE, ends, np.empty(0), 5)
    except cv2.error:  # it did not converge: they have nothing to hold on to, or nothing in common
        return found
    return max(found, _laid(whole, part, place), key=lambda alignment: alignment.detail)


def _laid(whole: Image, part: Image, place: Float32[np.ndarray, "2 3"]) -> Alignment:
    size, flags = (part.shape[1], part.shape[0]), cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    seen = cv2.warpAffine(whole, place, size, flags=flags)
    shared = cv2.warpAffine(np.full(whole.shape[:2], 255, np.uint8), place, size, flags=flags) == 255
    if shared.mean() < _SHARED:
        return NONE
    one, other = (cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in (seen, part))
    return Alignment(_detail(one, other, shared), _levels(seen, part, shared))


def _place(pose: Pose, whole: tuple[int, ...], part: tuple[int, ...]) -> Float32[np.ndarray, "2 3"]:
    """The affine map from pixels of the part to those of the whole; centres of pixels are whole numbers."""
    (left, width), (top, height) = pose.across, pose.down
    by_x, by_y = width * whole[1] / part[1], height * whole[0] / part[0]
    x, y = left * whole[1] + by_x / 2 - 0.5, top * whole[0] + by_y / 2 - 0.5
    return np.array([[by_x, 0, x], [0, by_y, y]], np.float32)


def _detail(seen: Grey, part: Grey, shared: np.ndarray) -> float:
    one, other = (_fine(grey)[shared] for grey in (seen, part))
    return float(one @ other / np.sqrt(max(float(one @ one) * float(other @ other), 1e-6)))


def _fine(grey: Grey) -> Float32[np.ndarray, "H W"]:
    """Structure of about 2 to 8 pixels: finer is noise and what JPEG leaves out."""
    levels = grey.astype(np.float32)
    return cv2.GaussianBlur(levels, (0, 0), 1) - cv2.GaussianBlur(levels, (0, 0), 4)


def _levels(seen: Image, part: Image, shared: np.ndarray) -> float:
    red, green, blue = cv2.split(np.maximum(seen, part))  # numpy is slow to take the maximum over so short an axis
    clipped = np.maximum(np.maximum(red, green), blue) >= _WHITE
    counted = shared & ~clipped
    if counted.mean() < _COUNTED:
        counted = shared
    weights = _averaged(counted)
    there = weights > 0.5
    one, other = (_averaged(picture * counted[..., None])[there] / weights[there, None] for picture in (seen, part))
    if not there.any():
        return float("inf")
    return evened(one, other)


def _averaged(picture: np.ndarray) -> Float32[np.ndarray, "16 16 ..."]:
    return cv2.resize(picture.astype(np.float32), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
