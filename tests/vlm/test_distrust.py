"""What a server may not do to us: echo the key, send us elsewhere, drown us, or write into a terminal."""

import gzip
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.vlm import server as scripted
from tests.vlm.server import Asked, ScriptedServer
from tests.vlm.test_server import GOOD, QUESTION, TALK, Dogs, picture
from wmsd_core.unicode import cleaned, visible
from wmsd_core.vlm import origin
from wmsd_core.vlm.breaker import ServerUnusable
from wmsd_core.vlm.server import ServerVLM
from wmsd_core.vlm.settings import ServerConfig

SECRET = "sk-very-secret-4711"


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("WMSD_VLM_API_KEY", SECRET)
    made: list[ServerVLM] = []

    def make(server: ScriptedServer, log: Path | None = None) -> ServerVLM:
        settings = ServerConfig(base_url=server.base_url, attempts=2, backoff=0.001, patience=0.1)
        made.append(ServerVLM(settings, log))
        return made[-1]

    yield make
    for vlm in made:
        vlm.close()


def spelt(text: str) -> str:
    return "".join(f"\\u{ord(letter):04x}" for letter in text)


@pytest.mark.parametrize(
    "echo",
    [
        lambda key: json.dumps({"dogs": 1, "names": [f"Bearer {key}"]}),  # pyright: ignore[reportUnknownLambdaType]
        lambda key: f'{{"dogs": 1, "names": ["{spelt(key)}"]}}',
        lambda key: f"I am sorry, but {key} is no key of mine",  # pyright: ignore[reportUnknownLambdaType]
        lambda key: f"no JSON, but {key}",  # pyright: ignore[reportUnknownLambdaType]
    ],
)
def test_a_key_that_is_echoed_reaches_neither_answers_nor_files(client: Any, tmp_path: Path, echo: Any) -> None:
    def script(asked: Asked) -> scripted.Behaviour:
        return scripted.said(echo(asked.headers["authorization"].removeprefix("Bearer ")), refusal=None)

    with ScriptedServer(script) as server:
        vlm = client(server, tmp_path / "log")
        try:
            said = repr(vlm.complete(TALK, Dogs, seed=1)) + repr(vlm.complete(TALK, Dogs, seed=1))
        except ValueError as error:
            said = str(error)
        said += vlm.log_odds([QUESTION], [picture(0)])[0].reason
    assert SECRET not in said
    stored = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert SECRET.encode() not in stored and spelt(SECRET).encode() not in stored.replace(b"\\\\", b"\\")


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_to_another_origin_is_not_followed(client: Any, status: int) -> None:
    with ScriptedServer(lambda _: GOOD) as other:
        elsewhere = scripted.body("", status=status, headers={"location": f"{other.base_url}/chat/completions"})
        with ScriptedServer(lambda _: elsewhere) as server, pytest.raises(ServerUnusable, match="another origin"):
            client(server).complete(TALK, Dogs, seed=1)
        assert other.asked == []


def test_a_redirect_within_the_origin_is_followed(client: Any) -> None:
    moved = scripted.body("", status=307, headers={"location": "/v1/chat/completions"})
    with ScriptedServer(lambda asked: GOOD if asked.before else moved) as server:
        assert client(server).complete(TALK, Dogs, seed=1).dogs == 2


def test_a_reply_without_end_is_cut_off(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(origin, "LONGEST", 2**20)
    with (
        ScriptedServer(lambda _: scripted.said("x" * 2**21)) as server,
        pytest.raises(ValueError, match="longer than 1 MiB"),
    ):
        client(server).complete(TALK, Dogs, seed=1)


def test_a_packed_reply_is_not_unpacked(client: Any) -> None:
    bomb = gzip.compress(b" " * 2**20).decode("latin-1")
    packed = scripted.body(bomb, headers={"content-encoding": "gzip"})
    with ScriptedServer(lambda _: packed) as server, pytest.raises(ValueError, match="packed"):
        client(server).complete(TALK, Dogs, seed=1)


def test_what_cannot_be_seen_is_spelt_out(client: Any) -> None:
    assert visible("a\tb\n\x1b[31mred\u202e\ud800é") == "a\tb\n\\x1b[31mred\\u202e\\ud800é"
    assert cleaned({"k\x00": ["\x07", 1, None]}) == {"k\\x00": ["\\x07", 1, None]}
    answer = scripted.said(json.dumps({"dogs": 1, "names": ["\x1b]0;owned\x07"]}))
    unsure = scripted.said("\x1b[2J", listed={"x": math.log(0.9)})
    with ScriptedServer(lambda asked: answer if "response_format" in asked.body else unsure) as server:
        vlm = client(server)
        assert vlm.complete(TALK, Dogs, seed=1).names == ["\\x1b]0;owned\\x07"]
        assert "\x1b" not in vlm.log_odds([QUESTION], [np.zeros((8, 8, 3), np.uint8)])[0].reason
