"""A circuit breaker: a server that is away is not asked a thousand times whether it is back."""

import asyncio
from collections.abc import Awaitable, Callable


class ServerUnusable(ConnectionError):
    """No request can succeed at present. The message names the server and the cure; nothing was counted as an answer."""


class Breaker:
    """Closed while the server answers. After `threshold` failures in a row it opens: nobody gets through, and one of those
    who wait asks after the server's health, less and less often. It closes when the server is well again; when it is not
    for `patience` seconds, everybody who waits gets `ServerUnusable`, and the next caller starts over.

    Used in one event loop. `health` returns what is wrong, '' if nothing; `clock` and `sleep` can be replaced in tests.
    """

    def __init__(
        self,
        health: Callable[[], Awaitable[str]],
        *,
        threshold: int,
        patience: float,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._health, self._threshold, self._patience = health, threshold, patience
        self._clock, self._sleep = clock, sleep
        self._failures = 0
        self._rounds = 0
        self._wrong = ""
        self._probing = asyncio.Lock()

    @property
    def open(self) -> bool:
        return self._failures >= self._threshold

    def succeeded(self) -> None:
        """The server has answered something."""
        self._failures = 0

    def failed(self) -> None:
        """The server could not be reached, was silent or broke down."""
        self._failures += 1

    async def passage(self) -> None:
        """Returns as soon as requests may be sent.

        Raises:
            ServerUnusable: the server stays away.
        """
        if not self.open:
            return
        here = self._rounds
        async with self._probing:
            if here != self._rounds and self.open:
                raise ServerUnusable(self._wrong)
            await self._wait_for_health()

    async def _wait_for_health(self) -> None:
        deadline, pause = self._clock() + self._patience, 1.0
        while self.open:
            self._wrong = await self._health()
            if not self._wrong:
                self.succeeded()
            elif (left := deadline - self._clock()) <= 0:
                self._rounds += 1
                raise ServerUnusable(self._wrong)
            else:
                await self._sleep(min(pause, left))
                pause = min(2 * pause, 30.0)
