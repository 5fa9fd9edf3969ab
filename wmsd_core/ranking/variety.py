"""Frames that say the same to CLIP: of several, the best is kept, so that the set shows more different things.

Greedy, in order of quality within a source: a frame is dropped if the cosine of its embedding with that of a frame kept before
it is greater than a limit. What is kept covers the source: every dropped frame has a better one that near.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from wmsd_core.ranking.clip import Embeddings


@dataclass(frozen=True)
class Similar:
    """Row `dropped` lies nearest to row `kept`, at this cosine."""

    dropped: int
    kept: int
    cosine: float


class Cover:
    """The kept frames of one source, in float32: 3 KB for each of CLIP ViT-L/14."""

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._kept: list[Embeddings] = []
        self._rows: list[int] = []
        self._seen = 0

    def extend(self, block: Embeddings) -> Iterator[Similar]:
        """The frames of the next block, best first, that are dropped; rows count from the first block on."""
        start, self._seen = self._seen, self._seen + len(block)
        before = [block @ kept.T for kept in self._kept]
        old = np.concatenate(before, axis=1) if before else np.empty((len(block), 0), np.float32)
        within = block @ block.T
        new: list[int] = []
        for row in range(len(block)):
            cosines = np.concatenate([old[row], within[row, new]])
            nearest = int(cosines.argmax()) if len(cosines) else -1
            if nearest >= 0 and cosines[nearest] > self._limit:
                kept = [*self._rows, *(start + item for item in new)][nearest]
                yield Similar(start + row, kept, float(cosines[nearest]))
            else:
                new.append(row)
        self._kept.append(block[new])
        self._rows += [start + item for item in new]
