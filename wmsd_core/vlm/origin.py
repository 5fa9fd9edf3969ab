"""What a client lets a server do: send no more than so much, from one origin, as it is.

Pictures, prompts and the key go to the address that the user named and to no other, whatever that address redirects to; and
a reply that does not end, or that swells when it is unpacked, ends in an error and not in the memory.
"""

from collections.abc import AsyncIterator
from typing import Any

import httpx2 as httpx  # the one that the openai client is built on

LONGEST = 32 * 2**20
"""Bytes of a reply. The longest that is asked for has a few thousand tokens."""


class Distrusted(ValueError):
    """The server did what it may not."""


class Elsewhere(Distrusted):
    """It sent us to another origin."""


def hooks(base_url: str) -> dict[str, list[Any]]:
    """Event hooks of an httpx client that talks to the origin of `base_url` alone; they see every step of a redirect."""
    allowed = _origin(httpx.URL(base_url))

    async def stay(request: httpx.Request) -> None:
        if _origin(request.url) != allowed:
            raise Elsewhere(
                f"it redirects to {request.url.scheme}://{request.url.netloc.decode(errors='replace')}, another origin: "
                "pictures, prompts and key go only where models.server.base_url says; name that address if it is meant"
            )

    async def limit(response: httpx.Response) -> None:
        if response.headers.get("content-encoding", "identity").lower() != "identity":
            raise Distrusted("the reply is packed, though it was asked for as it is")
        assert isinstance(response.stream, httpx.AsyncByteStream)
        response.stream = _Limited(response.stream)

    return {"request": [stay], "response": [limit]}


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port or {"http": 80, "https": 443}.get(url.scheme)


class _Limited(httpx.AsyncByteStream):
    def __init__(self, stream: httpx.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        seen = 0
        async for part in self._stream:
            seen += len(part)
            if seen > LONGEST:
                raise Distrusted(f"the reply is longer than {LONGEST // 2**20} MiB")
            yield part

    async def aclose(self) -> None:
        await self._stream.aclose()
