"""A fixed picture and question: what a server says of them tells it from another one of the same name.

The log-odds follow the weights and their precision, the number of prompt tokens the size in which pictures are seen: a server
that makes them smaller spends fewer.
"""

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np

from wmsd_core.arrays import Image
from wmsd_core.vlm.protocol import Question

HEIGHT, WIDTH = 720, 1280
NOISE = 0.5
"""Nats by which the same server may differ from itself: its batches differ, and 16-bit numbers are coarse."""

QUESTION = Question(
    "probe", "1", "Are there more red squares than blue ones in the picture? Answer with one word, yes or no."
)


@dataclass(frozen=True)
class Probe:
    """What came back."""

    log_odds: float | None
    """None where the answer could not be read."""
    tokens: int
    """Of the prompt, picture included; 0 where the server does not say."""

    def agrees(self, other: "Probe") -> bool:
        """Whether both can come from one server."""
        if self.tokens != other.tokens or (self.log_odds is None) != (other.log_odds is None):
            return False
        return self.log_odds is None or other.log_odds is None or abs(self.log_odds - other.log_odds) <= NOISE

    def __str__(self) -> str:
        said = "unread" if self.log_odds is None else f"{self.log_odds:+.1f}"
        return f"probe {said}/{self.tokens}"


@cache
def picture() -> Image:
    """Coloured squares of several sizes, the smallest of which vanish where the picture is made smaller."""
    levels = np.random.default_rng(4)
    shown = np.full((HEIGHT, WIDTH, 3), 224, np.uint8)
    for side in (160, 40, 10, 5):
        for _ in range(12):
            y, x = int(levels.integers(HEIGHT - side)), int(levels.integers(WIDTH - side))
            colour = ((200, 30, 30), (30, 60, 200))[int(levels.integers(2))]
            cv2.rectangle(shown, (x, y), (x + side, y + side), colour, thickness=-1)
    return shown
