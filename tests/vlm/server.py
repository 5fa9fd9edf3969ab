"""A model server on loopback that does what a test tells it to, good or bad. The outermost edge: all else is real.

It speaks just enough HTTP to break it in every way that a network and a server can. A behaviour is a function that is given
the connection's writer; a script chooses one for each request.
"""

import asyncio
import json
import threading
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

Behaviour = Callable[[asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Asked:
    """One chat request as it arrived."""

    body: dict[str, Any]
    headers: dict[str, str]
    before: int
    """How often the same messages came before."""

    @property
    def words(self) -> str:
        return " ".join(part["text"] for part in self.parts if part["type"] == "text")

    @property
    def urls(self) -> list[str]:
        return [part[part["type"]]["url"] for part in self.parts if part["type"] != "text"]

    @property
    def parts(self) -> list[dict[str, Any]]:
        return [part for message in self.body["messages"] for part in message["content"]]


Script = Callable[[Asked], Behaviour]


def said(
    text: str = "",
    *,
    listed: dict[str, float] | None = None,
    finish: str = "stop",
    prompt_tokens: int = 100,
    **message: Any,
) -> Behaviour:
    """A chat completion; `listed` are candidates for its first token, with their log-probabilities."""
    logprobs = None
    if listed is not None:
        top = [{"token": token, "logprob": value, "bytes": None} for token, value in listed.items()]
        logprobs = {"content": [{"token": text, "logprob": -0.1, "top_logprobs": top}]}
    choice = {
        "message": {"role": "assistant", "content": text, **message},
        "finish_reason": finish,
        "logprobs": logprobs,
    }
    usage = {"prompt_tokens": prompt_tokens, "completion_tokens": 10, "prompt_tokens_details": {"cached_tokens": 40}}
    return body(
        json.dumps({"id": "1", "object": "chat.completion", "choices": [{"index": 0, **choice}], "usage": usage})
    )


def body(
    content: str, *, status: int = 200, kind: str = "application/json", headers: dict[str, str] | None = None
) -> Behaviour:
    async def send(writer: asyncio.StreamWriter) -> None:
        writer.write(_head(status, len(content.encode()), kind, headers) + content.encode())
        await writer.drain()

    return send


def error(status: int, message: str = "broken on purpose", **headers: str) -> Behaviour:
    told = json.dumps({"error": {"message": message, "type": "scripted", "code": status}})
    return body(told, status=status, headers={name.replace("_", "-"): value for name, value in headers.items()})


def half(text: str = '{"id": "1", "choices": [{"message": {"content": "ye') -> Behaviour:
    """Valid HTTP, half a JSON."""
    return body(text)


def reset() -> Behaviour:
    """The connection ends in the middle of the body."""

    async def send(writer: asyncio.StreamWriter) -> None:
        writer.write(_head(200, 1000, "application/json") + b'{"id": "1", "choi')
        await writer.drain()
        writer.transport.abort()

    return send


def hang() -> Behaviour:
    """Silence."""

    async def send(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(3600)

    return send


def trickle(seconds: float) -> Behaviour:
    """One byte now and then, for ever: never silent for long, never done."""

    async def send(writer: asyncio.StreamWriter) -> None:
        writer.write(_head(200, 10**6, "application/json"))
        while True:
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(seconds)

    return send


def after(seconds: float, then: Behaviour) -> Behaviour:
    async def send(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(seconds)
        await then(writer)

    return send


def _head(status: int, length: int, kind: str, headers: dict[str, str] | None = None) -> bytes:
    lines = [f"HTTP/1.1 {status} X", f"content-type: {kind}", f"content-length: {length}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


IDS = {"yes": 11, "Yes": 12, "no": 13, "No": 14}
"""The server's tokens of these words after its chat template."""


@dataclass
class ScriptedServer:
    """`with ScriptedServer(script) as server`: a vLLM in all but the model. With `vllm=False` it has no tokenizer paths."""

    script: Script
    models: dict[str, str] = field(default_factory=lambda: {"judge": "org/Judge-8B"})
    key: str = ""
    vllm: bool = True
    version: str = "0.33.0"
    asked: list[Asked] = field(default_factory=list)
    most: int = 0
    """Most chat requests under way at one moment."""
    listed: int = 0
    """How often it was asked what it serves."""

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def __enter__(self) -> "ScriptedServer":
        self._seen: Counter[str] = Counter()
        self._now = 0
        self._loop = asyncio.new_event_loop()
        self._connections: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.port = 0
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def start(self) -> None:
        """Listens, after `stop` at the same port as before."""

        async def listen() -> None:
            self._server = await asyncio.start_server(self._connection, "127.0.0.1", self.port)
            self.port = self._server.sockets[0].getsockname()[1]

        asyncio.run_coroutine_threadsafe(listen(), self._loop).result()

    def stop(self) -> None:
        """Is away: closes the port and all connections."""

        async def leave() -> None:
            self._server.close()
            for connection in self._connections:
                connection.cancel()
            await asyncio.gather(*self._connections, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(leave(), self._loop).result()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            while line := await reader.readline():
                method, path, _ = line.decode().split()
                headers: dict[str, str] = {}
                while (header := (await reader.readline()).decode().strip()) != "":
                    name, _, value = header.partition(":")
                    headers[name.lower()] = value.strip()
                content = await reader.readexactly(int(headers.get("content-length", 0)))
                await self._answer(method, path, headers, json.loads(content or b"null"))(writer)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._connections.discard(task)
            writer.transport.abort()

    def _answer(self, method: str, path: str, headers: dict[str, str], sent: Any) -> Behaviour:
        if self.key and headers.get("authorization") != f"Bearer {self.key}":
            return error(401, f"no such key: {headers.get('authorization')}")
        match path:
            case "/v1/models":
                self.listed += 1
                data = [{"id": name, "root": root, "object": "model"} for name, root in self.models.items()]
                return body(json.dumps({"object": "list", "data": data}))
            case "/version" if self.vllm:
                return body(json.dumps({"version": self.version}))
            case "/tokenize" if self.vllm:
                return body(json.dumps({"tokens": self._tokens(sent)}))
            case "/detokenize" if self.vllm:
                return body(json.dumps({"prompt": "?assistant\n"}))
            case "/v1/chat/completions":
                messages = json.dumps(sent["messages"])
                asked = Asked(sent, headers, self._seen[messages])
                self._seen[messages] += 1
                self.asked.append(asked)
                return self._counted(self.script(asked))
            case _:
                return error(404, "no such path")

    def _counted(self, behaviour: Behaviour) -> Behaviour:
        async def send(writer: asyncio.StreamWriter) -> None:
            self._now += 1
            self.most = max(self.most, self._now)
            try:
                await behaviour(writer)
            finally:
                self._now -= 1

        return send

    @staticmethod
    def _tokens(sent: dict[str, Any]) -> list[int]:
        """The template has two tokens; of the words after it, "No" is taken for two."""
        if "messages" in sent:
            return [1, 2]
        word = sent["prompt"].removeprefix("?assistant\n")
        return [1, 2] if not word else [1, 2, IDS[word]] if word != "No" else [1, 2, 15, 16]
