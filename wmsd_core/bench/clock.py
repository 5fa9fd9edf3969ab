"""Wall time by part of a piece of work."""

import sys
import time


class Clock:
    """Runs from its making on; `book` says what the time since the last booking was spent on.

    A GPU is waited for at every booking: work that was merely queued would be booked on whoever waits for it.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._since = _now()

    def book(self, part: str) -> None:
        """Adds to a part."""
        now = _now()
        self.seconds[part] = self.seconds.get(part, 0.0) + now - self._since
        self._since = now


def _now() -> float:
    torch = sys.modules.get("torch")  # where nobody has read it, nothing can be under way on a GPU
    if torch and torch.cuda.is_initialized():
        torch.cuda.synchronize()
    return time.perf_counter()
