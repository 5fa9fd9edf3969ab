"""Recorded videos of the miniature: something moves somewhere, and nobody says why. What supervised fine-tuning begins with.

One of the two movers goes to a cell that was drawn, straight or around one corner, over whatever lies there. In some it
comes to a thing or an edge that it could have been told to go to; in others to none, and a model that is asked for the task
refuses.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from pydantic import Field

from wmsd_core.arrays import Videos
from wmsd_core.config import Config
from wmsd_core.frames import clips
from wmsd_core.miniature.drawing import to_uint8
from wmsd_core.miniature.motion import film, waypoints
from wmsd_core.miniature.scene import SIDE, sample

_AT_ONCE = 100


class FilmConfig(Config):
    """A folder of videos."""

    n: int = Field(default=4000, gt=0)
    """Number of videos. Nearly half of them show a task."""
    seed: int = Field(default=0, ge=0)
    """Run seed."""


def shoot(folder: Path, config: FilmConfig) -> Iterator[int]:
    """Writes the videos below `folder`, as animated PNGs that are named by their content, and yields how many there are."""
    rng = np.random.default_rng(config.seed)
    done = 0
    while done < config.n:
        for video in _videos(rng, _AT_ONCE)[: config.n - done]:
            clips.write(video, folder)
            done += 1
            yield done


def _videos(rng: np.random.Generator, count: int) -> Videos:
    """uint8 [B, 7, 20, 20, 3]."""
    scenes = sample(rng, count)
    mover = rng.integers(2, size=count)
    start = scenes.cells[np.arange(count), mover]
    end = (start + rng.integers(1, SIDE, size=(count, 2)) * _axes(rng, count)) % SIDE
    return to_uint8(film(scenes, mover, waypoints(start, end, rng.random(count) < 0.5)))


def _axes(rng: np.random.Generator, count: int) -> np.ndarray:
    """int [B, 2]: whether the mover goes along each axis; along one of them at least."""
    return np.array([(1, 0), (0, 1), (1, 1)])[rng.integers(3, size=count)]
