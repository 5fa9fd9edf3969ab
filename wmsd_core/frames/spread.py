"""A few items of a stream of unknown length, evenly spread over it."""

from typing import Generic, TypeVar

T = TypeVar("T")


class Spread(Generic[T]):
    """Keeps between half of `limit` and `limit` items: every 1st, then every 2nd, 4th, ... as the stream goes on."""

    def __init__(self, limit: int) -> None:
        self.items: list[T] = []
        self._limit = limit
        self._stride = 1
        self._seen = 0

    def add(self, item: T) -> list[T]:
        """Takes the stream's next item; returns those that are kept no longer, perhaps `item` among them."""
        wanted = self._seen % self._stride == 0
        self._seen += 1
        if not wanted:
            return [item]
        self.items.append(item)
        if len(self.items) <= self._limit:
            return []
        dropped = self.items[1::2]
        self.items = self.items[::2]
        self._stride *= 2
        return dropped
