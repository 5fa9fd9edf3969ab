"""One server: requests with retries, a limit on how many are under way, a circuit breaker, and the counting of tokens."""

import asyncio
import os
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

import openai

from wmsd_core.unicode import blotted, cleaned
from wmsd_core.vlm.breaker import Breaker, ServerUnusable
from wmsd_core.vlm.origin import Elsewhere, hooks
from wmsd_core.vlm.reply import Reply
from wmsd_core.vlm.request_log import RequestLog
from wmsd_core.vlm.retrying import asked_pause, backoff
from wmsd_core.vlm.settings import ServerConfig

KEY = "WMSD_VLM_API_KEY"
"""The environment variable with the server's key. Settings never hold one."""
_SHOWN = 300


class Unanswered(ValueError):
    """One request has no answer, and why. Others may have one."""


@dataclass(frozen=True)
class _Failure:
    kind: Literal["down", "busy", "garbled", "refused"]
    reason: str
    pause: float = 0.0
    """Seconds that the server asked for."""


class Connection:
    """The server of `config`. Everything but the constructor belongs to one event loop."""

    def __init__(
        self,
        config: ServerConfig,
        log: RequestLog,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._config, self._log, self._sleep, self._draw = config, log, sleep, draw
        self._key = os.environ.get(KEY, "")
        self.slots = asyncio.Semaphore(config.concurrency)
        self.breaker = Breaker(
            self.health, threshold=config.failures, patience=config.patience, clock=clock, sleep=sleep
        )
        # A loopback address is never meant for a proxy, whatever the environment says about other addresses.
        local = (urlsplit(config.base_url).hostname or "").startswith(("127.", "localhost", "::1"))
        self._client = openai.AsyncOpenAI(
            base_url=config.base_url,
            # Named, or the client would send a key of another service, OPENAI_API_KEY, to whatever this address is.
            api_key=self._key or "none",
            max_retries=0,
            timeout=openai.Timeout(config.read_timeout, connect=config.connect_timeout),
            default_headers={"Accept-Encoding": "identity"},
            http_client=openai.DefaultAsyncHttpxClient(trust_env=not local, event_hooks=hooks(config.base_url)),
        )
        self._client.organization = self._client.project = None

    async def ask(self, body: dict[str, Any], purpose: str, model: str) -> Reply:
        """The reply to a chat request; `purpose` and `model` say on whose account it goes.

        Raises:
            Unanswered: the server refused this request, or failed at every attempt.
            ServerUnusable: no request can succeed at present.
        """
        failure = _Failure("garbled", "")
        for attempt in range(self._config.attempts):
            await self.breaker.passage()
            outcome = await self._send(body)
            self._log.spend(purpose, model, outcome.usage if isinstance(outcome, Reply) else None)
            if isinstance(outcome, Reply):
                self.breaker.succeeded()
                return outcome
            failure = outcome
            if failure.kind == "down":
                self.breaker.failed()
            else:
                self.breaker.succeeded()
            if failure.kind == "refused":
                raise Unanswered(failure.reason)
            if failure.pause > self._config.patience:
                raise Unanswered(f"{failure.reason}; it asks for a pause of {failure.pause:.0f} s")
            if attempt + 1 < self._config.attempts:
                drawn = backoff(
                    attempt, first=self._config.backoff, longest=self._config.longest_backoff, draw=self._draw()
                )
                await self._sleep(failure.pause + drawn)
        tries = f" ({self._config.attempts} tries)" if self._config.attempts > 1 else ""
        raise Unanswered(failure.reason + tries)

    async def served(self) -> dict[str, str]:
        """Name -> folder or hub name of each model that is served.

        Raises:
            ServerUnusable: the server does not say.
        """
        try:
            async with asyncio.timeout(2 * self._config.connect_timeout):
                found = await self._client.get("/models", cast_to=object)
        except (openai.AuthenticationError, openai.PermissionDeniedError):
            raise ServerUnusable(self._no_entry()) from None
        except (openai.OpenAIError, TimeoutError, ValueError) as error:
            raise ServerUnusable(self._away(self._told(error.__cause__ or error))) from None
        found = cleaned(found, self._key)
        entries = found.get("data") if isinstance(found, dict) else None
        if not isinstance(entries, list):
            raise ServerUnusable(self._away("it lists no models, so it is no such server"))
        return {
            str(entry["id"]): str(entry.get("root") or entry["id"])
            for entry in entries
            if isinstance(entry, dict) and "id" in entry
        }

    async def version(self) -> str:
        """The version that the server says it has; '' where it does not say."""
        url = self._config.base_url.removesuffix("/v1") + "/version"
        try:
            async with asyncio.timeout(2 * self._config.connect_timeout):
                found = await self._client.get(url, cast_to=object)
        except (openai.OpenAIError, TimeoutError, ValueError):
            return ""
        said = found.get("version") if isinstance(found, dict) else None
        return self.cleaned(said)[:40] if isinstance(said, str) else ""

    async def health(self) -> str:
        """What is wrong with the server, as a sentence with the cure; '' if nothing is."""
        try:
            await self.served()
        except ServerUnusable as error:
            return str(error)
        return ""

    async def post(self, path: str, body: dict[str, Any]) -> Any:
        """The JSON that a path beside the versioned interface answers; None where the server has no such path."""
        url = self._config.base_url.removesuffix("/v1") + path
        try:
            async with asyncio.timeout(self._config.read_timeout):
                return blotted(await self._client.post(url, body=body, cast_to=object), self._key)
        except (openai.OpenAIError, TimeoutError, ValueError):
            return None

    def cleaned(self, value: Any) -> Any:
        """What a server wrote, without the key, which some repeat, and with nothing in it that cannot be seen."""
        return cleaned(value, self._key)

    async def close(self) -> None:
        await self._client.close()

    async def _send(self, body: dict[str, Any]) -> Reply | _Failure:
        """One try."""
        try:
            async with asyncio.timeout(self._config.total_timeout):
                # The typed function walks through every part of the body first, which takes longer than sending it.
                found = await self._client.post("/chat/completions", body=body, cast_to=object)
                return Reply.parse(blotted(found, self._key))
        except Elsewhere as error:
            raise ServerUnusable(f"{self._config.base_url} is not to be trusted: {error}") from None
        except TimeoutError:
            return _Failure("down", f"no answer within {self._config.total_timeout:g} s")
        except openai.APITimeoutError:
            return _Failure(
                "down", f"the server was silent for {self._config.read_timeout:g} s or could not be reached"
            )
        except openai.APIStatusError as error:
            return self._judge(error)
        except openai.APIConnectionError as error:
            return _Failure("down", f"the connection failed: {self._told(error.__cause__ or error)}")
        except (openai.OpenAIError, ValueError, RecursionError, MemoryError, OverflowError) as error:
            return _Failure("garbled", f"the reply cannot be read: {self._told(error)}")

    def _judge(self, error: openai.APIStatusError) -> _Failure:
        status, told = error.status_code, self._told(error)
        if status in (401, 403):
            raise ServerUnusable(self._no_entry()) from None
        if status == 404:
            raise ServerUnusable(
                f"{self._config.base_url} does not know the model or the path any more: {told}"
            ) from None
        if status in (408, 409, 429):
            return _Failure("busy", f"the server is busy: {told}", asked_pause(error.response.headers))
        if status >= 500:
            return _Failure("down", f"the server failed: {told}", asked_pause(error.response.headers))
        if "mm_kwargs" in told or "media_io_kwargs" in told:
            raise ServerUnusable(
                f"{self._config.base_url} takes no times of video frames: start it with --trust-request-mm-kwargs, or set "
                f"models.server.video=images. It says: {told}"
            ) from None
        return _Failure("refused", f"the server refused the request: {told}")

    def _told(self, error: BaseException) -> str:
        """What an error says, short, and without the key, which some servers repeat."""
        text = " ".join((str(error) or type(error).__name__).split())
        return cleaned(text, self._key)[:_SHOWN]

    def _away(self, told: str) -> str:
        return (
            f"no model server answers at {self._config.base_url} ({told}): start one with deployments/vllm/serve.sh, or name "
            "its address: models.server.base_url=http://HOST:PORT/v1"
        )

    def _no_entry(self) -> str:
        return f"{self._config.base_url} wants a valid key: put it into the environment as {KEY}"
