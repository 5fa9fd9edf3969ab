"""Judges generated videos by their pixels: was the task done, by the agent told to, and plausibly?

Analysis by synthesis. The first frame gives the scene. In each frame the two movers' colours are unmixed from what lies
beneath (linear least squares per pixel), the centre of mass of each says where it is, the frame is drawn anew with both
movers there, and what differs from the drawing (ghosts, doubles, smears, moved places) is the mismatch. A motion keeps
its pace from the first frame to the last and never turns back, so that a cut, frames out of order or a hold show.

Scores stand for log-odds: 6 times the least relative margin of the conditions, clipped to [-6, 6], above 0 if all hold.
Axes: B videos, T frames, 2 movers, 2 coordinates. Lengths are in cells.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from wmsd_core.arrays import Videos
from wmsd_core.miniature.drawing import CELL, SIZE, area, coverage, paint
from wmsd_core.miniature.language import EDGE_AXIS, EDGE_CELL, EDGES, Task
from wmsd_core.miniature.perception import perceive
from wmsd_core.miniature.scene import RGB, Scenes

BOUND = 6.0
"""Scores lie in [-6, 6]."""
NEAR = 0.5
"""A mover stands on a cell if both coordinates are nearer than this; it has moved if it is further away than this."""
_MISMATCH = 0.15
"""Largest RMS difference, over 2x2 pixels, between a frame and its drawing. A double of .35 opacity is beyond it."""
_MISMATCH_END = 0.2
"""The same for the end state: it need not be pretty."""
_MASS = 0.35
"""Largest relative deviation of a mover's area."""
_LEFT = 0.3
"""Least share of its area by which a mover is still said to be there."""
_GAP = 0.6
"""Least distance of the movers' centres, also between frames."""
_REST = 0.35
"""Furthest that the mover at rest may stray."""
_RIDGE = 0.005
_DENSE = 0.3
_REACH = 2.7
"""Pixels from the centre, along each axis, within which all of a mover lies."""
_UNEVEN = 0.1
_UNEVEN_SHARE = 0.3
"""How far a step may differ from a mover's mean step: this much, and this share of the mean step. Right films are within
.14 of that, films of the base model within .45."""
_BACK = 0.12
"""How far a mover may go back along an axis. Films of the base model stay within .05."""


@dataclass(frozen=True)
class Tracks:
    """What is seen in B videos, whatever the task. Rows with a `reason` do not begin with a proper board."""

    scenes: Scenes
    reasons: tuple[str, ...]
    centre: np.ndarray
    """float32 [B, T, 2, 2], (column, row)."""
    mass: np.ndarray
    """float32 [B, T, 2]: visible area of each mover over its true area."""
    mismatch: np.ndarray
    """float32 [B, T]: largest local RMS difference from the drawing."""

    def __len__(self) -> int:
        return len(self.reasons)

    def select(self, rows: np.ndarray) -> "Tracks":
        """The given rows, in that order, repeats allowed."""
        reasons = tuple(self.reasons[row] for row in rows)
        return Tracks(self.scenes.select(rows), reasons, self.centre[rows], self.mass[rows], self.mismatch[rows])


@dataclass(frozen=True)
class Scores:
    """Signed scores float64 [B] in [-6, 6], good above 0; NaN where `reasons` says why there is none."""

    task: np.ndarray
    agent: np.ndarray
    consistency: np.ndarray
    reasons: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.reasons)


def track(videos: Videos) -> Tracks:
    """Finds the movers in uint8 videos [B, T, H, W, 3] of any size with T >= 2."""
    frames = _frames(videos)
    seen = perceive(frames[:, 0])
    scenes, (batch, time) = seen.scenes, frames.shape[:2]
    under = _without_movers(frames[:, 0], seen.bare, scenes)
    colours = RGB[scenes.colours[:, :2]]
    cover = _unmix(frames, under, colours)
    centre, mass = _locate(cover)
    kinds = np.repeat(scenes.kinds[:, None, :2], time, axis=1)
    drawing = np.repeat(under[:, None], time, axis=1)
    for mover in (0, 1):
        shape = coverage(kinds[..., mover].ravel(), centre[:, :, mover].reshape(-1, 2))
        drawing = paint(drawing, shape.reshape(batch, time, SIZE, SIZE), colours[:, None, mover])
    return Tracks(scenes, seen.reasons, centre, mass / area(kinds), _mismatch(frames - drawing))


def assess(tracks: Tracks, tasks: Sequence[Task | None]) -> Scores:
    """Scores video b for task b; None stands for a task that could not be read."""
    readings = [_read(tracks, row, task) for row, task in enumerate(tasks)]
    rows = np.arange(len(tracks))
    agent = np.array([reading.mover for reading in readings])
    other = 1 - agent
    reasons = tuple(reading.reason for reading in readings)

    end = tracks.centre[rows, -1, agent]
    aim = np.array([reading.aim for reading in readings])
    distance = np.nan_to_num(np.abs(end - aim), nan=0.0).max(1)
    mass = tracks.mass[rows, -1, agent]
    task = _least((NEAR - distance) / NEAR, 1 - np.abs(mass - 1) / _MASS, 1 - tracks.mismatch[:, -1] / _MISMATCH_END)

    moved = np.linalg.norm(tracks.centre[:, -1] - tracks.centre[:, 0], axis=-1)
    there = tracks.mass[:, -1].min(1) / _LEFT - 1
    who = _least((moved[rows, agent] - NEAR) / NEAR, (NEAR - moved[rows, other]) / NEAR, there)

    strayed = np.linalg.norm(tracks.centre - tracks.centre[:, :1], axis=-1).max(1).min(1)
    plausible = _least(
        1 - tracks.mismatch.max(1) / _MISMATCH,
        1 - np.abs(tracks.mass - 1).max((1, 2)) / _MASS,
        1 - _unevenness(tracks.centre),
        1 - _way_back(tracks.centre) / _BACK,
        1 - strayed / _REST,
        _gap(tracks.centre) / _GAP - 1,
    )
    unread = np.array([bool(reason) for reason in reasons])
    return Scores(*(np.where(unread, np.nan, score) for score in (task, who, plausible)), reasons=reasons)


@dataclass(frozen=True)
class _Reading:
    """A task on a board: object index of the agent, and where it shall be (NaN: anywhere)."""

    mover: int
    aim: tuple[float, float]
    reason: str = ""


def _read(tracks: Tracks, row: int, task: Task | None) -> _Reading:
    nowhere = (np.nan, np.nan)
    if task is None:
        return _Reading(0, nowhere, "no task of the form '[Agent]: go to the goal' in the text")
    if tracks.reasons[row]:
        return _Reading(0, nowhere, f"the first frame shows no proper board: {tracks.reasons[row]}")
    names = [tracks.scenes.name(row, thing) for thing in range(4)]
    if task.agent not in names[:2]:
        return _Reading(0, nowhere, f"there is no {task.agent} in the first frame")
    mover = names.index(task.agent)
    if task.goal in names[2:]:
        column, line = tracks.scenes.cells[row, names.index(task.goal)]
        return _Reading(mover, (float(column), float(line)))
    edge = task.goal.removesuffix(" edge")
    if edge not in EDGES:
        return _Reading(mover, nowhere, f"there is no {task.goal} in the first frame")
    aim = [np.nan, np.nan]
    aim[EDGE_AXIS[EDGES.index(edge)]] = float(EDGE_CELL[EDGES.index(edge)])
    return _Reading(mover, (aim[0], aim[1]))


def _frames(videos: Videos) -> np.ndarray:
    """float32 [B, T, 20, 20, 3] in [0, 1], shrunk by area where needed."""
    if videos.shape[2:4] != (SIZE, SIZE):
        flat = videos.reshape(-1, *videos.shape[2:])
        small = np.stack([cv2.resize(frame, (SIZE, SIZE), interpolation=cv2.INTER_AREA) for frame in flat])
        videos = small.reshape(*videos.shape[:2], SIZE, SIZE, 3)
    return videos.astype(np.float32) / 255


def _without_movers(first: np.ndarray, bare: np.ndarray, scenes: Scenes) -> np.ndarray:
    """The first frame with the bare board where the movers stand."""
    pixel = np.arange(SIZE) // CELL
    cells = scenes.cells[:, :2]
    columns, rows = pixel == cells[:, :, :1], pixel == cells[:, :, 1:]
    taken = (rows[:, :, :, None] & columns[:, :, None, :]).any(1)
    return np.where(taken[..., None], bare, first)


def _unmix(frames: np.ndarray, under: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """float32 [B, T, 2, 20, 20]: how densely each mover covers each pixel, by least squares with a small ridge."""
    first, second = np.moveaxis(colours[:, :, None, None] - under[:, None], 1, 0)
    cross = (first * second).sum(-1, keepdims=True)
    first_square = np.square(first).sum(-1, keepdims=True) + _RIDGE
    second_square = np.square(second).sum(-1, keepdims=True) + _RIDGE
    dual = np.stack([second_square * first - cross * second, first_square * second - cross * first], axis=1)
    dual /= (first_square * second_square - np.square(cross))[:, None]
    return np.clip(np.einsum("btyxc,bmyxc->btmyx", frames - under[:, None], dual, optimize=True), 0, 1)


def _locate(cover: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centres [B, T, 2, 2] in cells, and areas [B, T, 2] in pixels within a cell's reach of them.

    A first guess from the dense pixels only, so that faint traces elsewhere do not pull it; then all that is near it.
    """
    pixel = np.arange(SIZE, dtype=np.float32)
    dense = np.maximum(cover - _DENSE, 0)
    x, y = _centroid(dense.sum(-2), dense.sum(-1))
    near_x = (np.abs(pixel - x[..., None]) < _REACH).astype(np.float32)
    near_y = (np.abs(pixel - y[..., None]) < _REACH).astype(np.float32)
    near = cover * near_y[..., :, None] * near_x[..., None, :]
    columns, rows = near.sum(-2), near.sum(-1)
    centre = np.stack(_centroid(columns, rows), axis=-1)
    return (centre + 0.5) / CELL - 0.5, columns.sum(-1)


def _centroid(columns: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean pixel index along x and y of what is spread as `columns` and `rows` [..., 20]; 0 where there is nothing."""
    pixel = np.arange(SIZE, dtype=np.float32)
    total = np.maximum(columns.sum(-1), 1e-6)
    return columns @ pixel / total, rows @ pixel / total


def _mismatch(error: np.ndarray) -> np.ndarray:
    """float32 [B, T]: largest RMS over 2x2 pixels and colours."""
    square = np.einsum("btyxc,btyxc->btyx", error, error) / 3
    rows = square[..., 1:, :] + square[..., :-1, :]
    return np.sqrt((rows[..., 1:] + rows[..., :-1]).max((-1, -2)) / 4)


def _unevenness(centre: np.ndarray) -> np.ndarray:
    """[B]: how far a step differs from the mover's mean step, over what is allowed.

    Steps are counted along the axes: so measured, a corner between two frames makes none of them shorter.
    """
    steps = np.abs(np.diff(centre, axis=1)).sum(-1)
    pace = steps.mean(1)
    return (np.abs(steps - pace[:, None]).max(1) / (_UNEVEN + _UNEVEN_SHARE * pace)).max(1)


def _way_back(centre: np.ndarray) -> np.ndarray:
    """[B]: how far a mover goes against its own direction, the furthest along either axis.

    The direction along an axis is the one against which it goes less far.
    """
    falls = (np.maximum.accumulate(centre, axis=1) - centre).max(1)
    rises = (centre - np.minimum.accumulate(centre, axis=1)).max(1)
    return np.minimum(falls, rises).max((1, 2))


def _gap(centre: np.ndarray) -> np.ndarray:
    """[B]: least distance between the two movers, each going straight from frame to frame."""
    apart = centre[:, :, 0] - centre[:, :, 1]
    step = np.diff(apart, axis=1)
    along = -(apart[:, :-1] * step).sum(-1) / np.maximum(np.square(step).sum(-1), 1e-9)
    nearest = apart[:, :-1] + np.clip(along, 0, 1)[..., None] * step
    return np.linalg.norm(nearest, axis=-1).min(1)


def _least(*margins: np.ndarray) -> np.ndarray:
    return np.clip(BOUND * np.min(margins, axis=0), -BOUND, BOUND).astype(np.float64)
