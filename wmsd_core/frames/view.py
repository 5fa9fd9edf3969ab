"""A frame as a vision-language model is shown it."""

from wmsd_core.arrays import Image
from wmsd_core.frames import Frame
from wmsd_core.frames.decode import rgb

LONGEST = 1280
"""Pixels of the longer side: the size of the published WorldTasks frames."""


def view(frame: Frame) -> Image:
    """The frame in RGB, at most `LONGEST` pixels along its longer side.

    Raises:
        Refusal: the file is missing, changed, truncated or undecodable.
    """
    return rgb(frame, LONGEST)
