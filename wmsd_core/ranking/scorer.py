"""What the ranking asks of a scorer."""

from collections.abc import Sequence
from typing import Protocol

from wmsd_core.shapes import Image


class Scorer(Protocol):
    """Says how good a picture looks. `name` identifies method, version and weights in every row that it caused."""

    @property
    def name(self) -> str: ...

    def score(self, images: Sequence[Image]) -> list[float]:
        """One number per picture, higher is better. Only the order matters: scales differ between scorers."""
        ...
