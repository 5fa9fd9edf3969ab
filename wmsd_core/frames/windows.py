"""Which picture may be a part of another, mirrored or not, brighter or not: told from signatures, without reading a file.

A picture that was cut to a window of itself has that window's low frequencies. Of each signature the cosine coefficients of
256 windows are computed (sides whole or 90, 80 and 70 % of that, in steps of 5 %), each weighted by its frequency, so that in
photographs, whose amplitudes fall as 1 / f, all count alike, and then brought to length 1: brightness and contrast
cancel, since the mean is left out. Mirroring changes signs only. Two pictures are suspects where a window of one has a
cosine of at least `ALIKE` with the whole of the other, and both, averaged to 8x8 RGB, are at most `APART` levels apart.
Smooth pictures have little but low frequencies, and unlike ones may share them: `alignment` looks at the suspects' pixels.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain, product

import numpy as np
from jaxtyping import Float32, UInt8

from wmsd_core.frames.likeness import SIDE, Signatures

ALIKE = 0.75
"""Cosine. Windows that lie up to 2.5 % of the picture beside the true one reach .8."""
APART = 20.0
"""Root mean square, in levels, when brightness and contrast are evened out. Boards of one kind have a cosine in common."""
CONTRAST = (0.6, 1.7)
"""Between these factors a change of contrast is made good."""
_LENGTHS, _STEP = (1.0, 0.9, 0.8, 0.7), 0.05
_ORDER = 7
"""Frequencies along each side, 0 to 3 periods."""
_BATCH = 64
"""Pictures whose windows are held at once: 3 MB."""
_COARSE = 8
_GREY = np.array([0.299, 0.587, 0.114], np.float32)

Look = UInt8[np.ndarray, "768"]
Span = tuple[float, float]
"""Beginning and length, as shares of a side."""


@dataclass(frozen=True)
class Pose:
    """Where the whole of one picture lies in another, and how it is mirrored."""

    across: Span
    down: Span
    swapped: bool
    """Left and right are."""
    upturned: bool
    """Top and bottom are swapped."""

    def __str__(self) -> str:
        (_, width), (_, height) = self.across, self.down
        mirrored = [name for name, is_so in (("mirrored", self.swapped), ("upside down", self.upturned)) if is_so]
        return ", ".join([f"a window of {width:.0%} x {height:.0%}", *mirrored])


@dataclass(frozen=True)
class Suspect:
    """Two pictures, by their rows, of which one may be a part of the other."""

    one: int
    other: int
    part: bool
    """Whether the second is the part; else the first."""
    pose: Pose


def suspects(ones: Signatures, others: Signatures) -> Iterator[Suspect]:
    """All that may show the same, by row; of several ways to lay one on the other the likeliest."""
    best: dict[tuple[int, int], tuple[float, Suspect]] = {}
    for cosine, suspect in chain(
        ((cosine, Suspect(whole, part, True, pose)) for cosine, whole, part, pose in _inside(ones, others)),
        ((cosine, Suspect(part, whole, False, pose)) for cosine, whole, part, pose in _inside(others, ones)),
    ):
        pair = suspect.one, suspect.other
        if pair not in best or cosine > best[pair][0]:
            best[pair] = cosine, suspect
    yield from (suspect for _, (_, suspect) in sorted(best.items(), key=lambda item: item[0]))


def _inside(wholes: Signatures, parts: Signatures) -> Iterator[tuple[float, int, int, Pose]]:
    """(cosine, row of the whole, row of the part, pose) of every part with its likeliest place."""
    profiles = _profiles(parts, _SIDES[:1])[:, 0]
    mirrored = np.concatenate([profiles * signs for _, _, signs in _MIRRORINGS]).T
    for start in range(0, len(wholes), _BATCH):
        for row, windows in enumerate(_profiles(wholes[start : start + _BATCH], _SIDES), start):
            cosines = windows @ mirrored
            for column in np.flatnonzero(cosines.max(axis=0) >= ALIKE).tolist():
                window = int(cosines[:, column].argmax())
                down, across = divmod(window, len(_SIDES))
                swapped, upturned, _ = _MIRRORINGS[column // len(parts)]
                pose = Pose(_SIDES[across], _SIDES[down], swapped, upturned)
                if _apart(wholes[row], parts[column % len(parts)], pose) <= APART:
                    yield float(cosines[window, column]), row, column % len(parts), pose


def _apart(whole: Look, part: Look, pose: Pose) -> float:
    """Levels over 8x8 RGB by which the part differs from its window of the whole."""
    mirrored = part.reshape(SIDE, SIDE, 3)[:: -1 if pose.upturned else 1, :: -1 if pose.swapped else 1]
    seen = _averaged(whole.reshape(SIDE, SIDE, 3), pose.across, pose.down)
    return evened(seen, _averaged(mirrored, _SIDES[0], _SIDES[0]))


def _averaged(look: UInt8[np.ndarray, "16 16 3"], across: Span, down: Span) -> Float32[np.ndarray, "8 8 3"]:
    rows = _grid(down) @ look.astype(np.float32).reshape(SIDE, -1)
    return _grid(across) @ rows.reshape(_COARSE, SIDE, 3)


def evened(one: Float32[np.ndarray, "..."], other: Float32[np.ndarray, "..."]) -> float:
    """Root mean square difference, in levels, of what is left when `one` is given the brightness and contrast of `other`."""
    one, other = one - one.mean(), other - other.mean()
    contrast = float((one * other).sum() / max(float((one * one).sum()), 1e-6))
    return float(np.sqrt(np.mean((np.clip(contrast, *CONTRAST) * one - other) ** 2)))


def _profiles(levels: Signatures, sides: Sequence[Span]) -> Float32[np.ndarray, "N W C"]:
    """Of every window whose sides are two of `sides`: the weighted coefficients, as vectors of length 1."""
    grey = levels.reshape(-1, SIDE, SIDE, 3).astype(np.float32) @ _GREY
    waves = _WAVES[: len(sides)].reshape(-1, SIDE)
    found = (waves @ grey @ waves.T).reshape(len(grey), len(sides), _ORDER, len(sides), _ORDER)
    found = found.transpose(0, 1, 3, 2, 4).reshape(len(grey), len(sides) ** 2, _ORDER**2)[..., 1:] * _WEIGHTS
    return found / np.maximum(np.linalg.norm(found, axis=-1, keepdims=True), 1e-3)


def _read(span: Span) -> Float32[np.ndarray, "64 16"]:
    """Rows that read a stretch of 16 levels at 64 places; between levels it is linear."""
    at = ((span[0] + span[1] * _POSITION) * SIDE - 0.5).clip(0, SIDE - 1)
    return np.maximum(0, 1 - np.abs(at[:, None] - np.arange(SIDE))).astype(np.float32)


def _waves(span: Span) -> Float32[np.ndarray, "K 16"]:
    """Rows that give the cosine coefficients of a stretch."""
    return np.cos(np.pi * np.outer(_FREQUENCIES, _POSITION)).astype(np.float32) @ _read(span) / len(_POSITION)


@cache
def _grid(span: Span) -> Float32[np.ndarray, "8 16"]:
    """Rows that average a stretch to 8 levels."""
    return _read(span).reshape(_COARSE, -1, SIDE).mean(axis=1)


_POSITION = (np.arange(4 * SIDE) + 0.5) / (4 * SIDE)
_FREQUENCIES = np.arange(_ORDER)
_SIDES: tuple[Span, ...] = tuple(
    (begin * _STEP, length) for length in _LENGTHS for begin in range(1 + round((1 - length) / _STEP))
)
_WAVES = np.stack([_waves(span) for span in _SIDES])
_SQUARES = _FREQUENCIES**2
_HALVES = np.where(_FREQUENCIES, 2, 1)
_WEIGHTS = np.sqrt(np.add.outer(_SQUARES, _SQUARES) * np.outer(_HALVES, _HALVES)).reshape(-1)[1:].astype(np.float32)
"""By frequency; and a wave has half the mean square of a constant."""


def _signs(mirrored: bool) -> np.ndarray:
    return (-1.0) ** (_FREQUENCIES * mirrored)


_MIRRORINGS = [
    (swapped, upturned, np.outer(_signs(upturned), _signs(swapped)).reshape(-1)[1:].astype(np.float32))
    for swapped, upturned in product((False, True), repeat=2)
]
