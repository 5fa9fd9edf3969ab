"""Controls: videos of which everybody knows what a judge should say, made from those that are judged.

They need no annotator. A judge that finds a task done in a still picture, or a cut plausible, says little about videos.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from wmsd_core.arrays import Video


@dataclass(frozen=True)
class Control:
    """One way to know the answer beforehand."""

    name: str
    title: str
    expected: Mapping[str, bool]
    """Criterion -> the right verdict. Criteria of which nothing is known are not asked about."""
    change: Callable[[Video], Video] | None = None
    """What is done to the video. One that it leaves as it was shows nothing, and is not asked about."""
    shown: Literal["the video", "the video, for another task", "a real video"] = "the video"
    """Of the same item; the same, asked about the task of another item of its picture; or filmed, from the store's sources."""


def still(expected: Mapping[str, bool]) -> Control:
    """The first frame, for the whole length."""
    return Control("still", "first frame, held", expected, lambda video: np.repeat(video[:1], len(video), axis=0))


def reversed_(expected: Mapping[str, bool]) -> Control:
    """From the end to the beginning."""
    return Control("reversed", "played backwards", expected, lambda video: video[::-1])


def cut(expected: Mapping[str, bool]) -> Control:
    """The first frame for one half of the time, the last for the other."""
    return Control("cut", "cut from first to last frame", expected, _cut)


def shuffled_middle(expected: Mapping[str, bool]) -> Control:
    """All frames between first and last in reversed order."""
    return Control("middle", "frames between first and last backwards", expected, _middle_backwards)


def other_task(expected: Mapping[str, bool]) -> Control:
    """The video as it is, asked about another task of the same picture."""
    title = "asked about another task of the picture"
    return Control("other-task", title, expected, shown="the video, for another task")


def real(expected: Mapping[str, bool]) -> Control:
    """A film that frames of the store were taken from, as long as the videos that are judged."""
    return Control("real", "a real video", expected, shown="a real video")


def _cut(video: Video) -> Video:
    at = np.where(np.arange(len(video)) < len(video) / 2, 0, len(video) - 1)
    return video[at]


def _middle_backwards(video: Video) -> Video:
    return np.concatenate([video[:1], video[-2:0:-1], video[-1:]]) if len(video) > 2 else video
