"""Motions: two axis-aligned legs at constant speed, from the first frame to the last.

Waypoints are float [B, 3, 2] in cells: start, corner, end. A motion of one leg has its corner at its end.
"""

import numpy as np

from wmsd_core.miniature.drawing import coverage, draw, paint
from wmsd_core.miniature.scene import RGB, Scenes

FRAMES = 7
"""Frames of a clip: the given one and six that follow."""


def waypoints(start: np.ndarray, end: np.ndarray, horizontal_first: np.ndarray) -> np.ndarray:
    """Two-leg routes from `start` to `end`, both [B, 2]; `horizontal_first` is bool [B]."""
    corner = np.where(horizontal_first[:, None] == np.array([True, False]), end, start)
    return np.stack([start, corner, end], axis=1).astype(np.float32)


def positions(route: np.ndarray, frames: int = FRAMES) -> np.ndarray:
    """float32 [B, frames - 1, 2]: where the mover is in each frame after the first; it arrives in the last."""
    legs = np.diff(route, axis=1)
    lengths = np.abs(legs).sum(-1)
    travelled = lengths.sum(1, keepdims=True) * np.arange(1, frames) / (frames - 1)
    before = np.stack([np.zeros_like(lengths[:, 0]), lengths[:, 0]], axis=1)
    share = np.clip((travelled[:, :, None] - before[:, None]) / np.maximum(lengths, 1e-6)[:, None], 0, 1)
    return (route[:, :1] + (share[..., None] * legs[:, None]).sum(2)).astype(np.float32)


def film(scenes: Scenes, mover: np.ndarray, route: np.ndarray, frames: int = FRAMES) -> np.ndarray:
    """float32 [B, frames, 20, 20, 3] in [0, 1]: object `mover` [B] (0 or 1) goes along `route`, all else rests.

    The mover passes over whatever lies on its way, the other mover included: a wrong solution is drawn faithfully.
    """
    rows = np.arange(len(scenes))
    under = draw(scenes, (2, 3))
    still = 1 - mover
    rest = coverage(scenes.kinds[rows, still], scenes.cells[rows, still])
    under = paint(under, rest, RGB[scenes.colours[rows, still]])
    track = np.concatenate([route[:, :1], positions(route, frames)], axis=1)
    kind = np.repeat(scenes.kinds[rows, mover], frames)
    cover = coverage(kind, track.reshape(-1, 2)).reshape(len(scenes), frames, *under.shape[1:3])
    return paint(under[:, None], cover, RGB[scenes.colours[rows, mover]][:, None])
