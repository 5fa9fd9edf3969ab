"""The parts of the client: pauses, breaker, log of requests, media, schema."""

import asyncio
import base64
import math
import time
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
import pytest
from pydantic import BaseModel, Field

from wmsd_core.models import ModelsConfig
from wmsd_core.unicode import storable
from wmsd_core.vlm.answer import read
from wmsd_core.vlm.breaker import Breaker, ServerUnusable
from wmsd_core.vlm.media import fingerprint, image_url, shown_frames, video_url
from wmsd_core.vlm.protocol import Refused
from wmsd_core.vlm.reply import Reply, Usage
from wmsd_core.vlm.request_log import RequestLog, forget, spent
from wmsd_core.vlm.retrying import asked_pause, backoff
from wmsd_core.vlm.schema import strict_schema
from wmsd_core.vlm.settings import ServerConfig
from wmsd_core.worldtasks import TaskPairs


def test_pauses_double_up_to_the_longest_and_are_drawn_over_the_whole_range() -> None:
    assert [backoff(k, first=0.5, longest=3, draw=0.999999) for k in range(5)] == pytest.approx(
        [0.5, 1, 2, 3, 3], abs=1e-5
    )
    assert backoff(2, first=0.5, longest=3, draw=0.0) == 0
    assert backoff(10**6, first=0.5, longest=3, draw=0.5) == 1.5


def test_retry_after_is_read_as_seconds_and_as_a_date() -> None:
    now = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
    assert asked_pause({"retry-after": "2.5"}) == 2.5
    assert asked_pause({"retry-after": "Tue, 24 Nov 2026 12:00:30 GMT"}, now) == 30
    assert asked_pause({"retry-after": "Tue, 24 Nov 2026 11:00:00 GMT"}, now) == 0
    for nothing in ({}, {"retry-after": "soon"}, {"retry-after": "nan"}, {"retry-after": "-3"}):
        assert asked_pause(nothing) == 0


class Patient:
    """A clock that only sleeping moves, and a server whose health is looked up in a list."""

    def __init__(self, health: list[str]) -> None:
        self.now, self.health, self.looked = 0.0, health, 0

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0)

    async def look(self) -> str:
        self.looked += 1
        await asyncio.sleep(0)
        return self.health[min(self.looked, len(self.health)) - 1]

    def breaker(self, threshold: int = 3, patience: float = 60) -> Breaker:
        return Breaker(self.look, threshold=threshold, patience=patience, clock=lambda: self.now, sleep=self.sleep)


def test_the_breaker_opens_after_failures_in_a_row_only() -> None:
    async def story() -> None:
        breaker = Patient([""]).breaker()
        for _ in range(5):
            breaker.failed()
            breaker.failed()
            breaker.succeeded()
        assert not breaker.open
        for _ in range(3):
            breaker.failed()
        assert breaker.open

    asyncio.run(story())


def test_one_of_those_who_wait_looks_and_all_go_on() -> None:
    async def story() -> None:
        server = Patient(["away", "away", ""])
        breaker = server.breaker()
        for _ in range(3):
            breaker.failed()
        await asyncio.gather(*(breaker.passage() for _ in range(20)))
        assert server.looked == 3
        assert server.now == 1 + 2  # less and less often
        assert not breaker.open

    asyncio.run(story())


def test_all_who_wait_give_up_together_and_the_next_one_tries_anew() -> None:
    async def story() -> None:
        server = Patient(["away"])
        breaker = server.breaker(patience=60)
        for _ in range(3):
            breaker.failed()
        outcomes = await asyncio.gather(*(breaker.passage() for _ in range(20)), return_exceptions=True)
        assert all(isinstance(outcome, ServerUnusable) for outcome in outcomes)
        assert server.now == 60
        assert server.looked == 7  # at 0, 1, 3, 7, 15, 31, 60 (not 61): the patience is used up, not overrun
        server.health = [""]
        await breaker.passage()
        assert not breaker.open

    asyncio.run(story())


def test_the_log_keeps_answers_over_a_restart_and_forgets_by_question(tmp_path: Path) -> None:
    reply = Reply(text="yes", listed={"token_id:1": -0.25}, usage=Usage(prompt_tokens=3))
    log = RequestLog(tmp_path / "log")
    for purpose in ("screen/1", "screen/2", "screener/1", "TaskPairs"):
        log.keep(purpose.encode(), purpose, "m", reply)
    log.spend("screen/1", "m", reply.usage)
    log.spend("screen/1", "m", None)
    log.close()
    forget(tmp_path / "log", "screen")
    forget(tmp_path / "log", "TaskPairs")
    log = RequestLog(tmp_path / "log")
    assert log.find(b"screener/1") == reply
    assert [log.find(key) for key in (b"screen/1", b"screen/2", b"TaskPairs", b"nothing")] == [None] * 4
    log.close()
    assert (spent(tmp_path / "log").replies, spent(tmp_path / "log").failures) == (1, 1)
    assert spent(tmp_path / "no such log").replies == 0


def test_a_file_that_is_no_log_is_a_mistake_with_a_cure(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("something else, and long enough to be looked at" * 30)
    with pytest.raises(ValueError, match="move it away"):
        RequestLog(tmp_path / "log")


def test_frames_are_spread_from_the_first_to_the_last() -> None:
    assert shown_frames(121, 4) == [0, 40, 80, 120]
    assert shown_frames(3, 8) == [0, 1, 2]
    assert len(set(shown_frames(33, 32))) == 32


def unpacked(url: str) -> np.ndarray:
    data = np.frombuffer(base64.b64decode(url.partition("base64,")[2]), np.uint8)
    return cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def test_pictures_are_packed_in_their_colours() -> None:
    red = np.zeros((32, 48, 3), np.uint8)
    red[:, 24:, 0] = 200  # a sharp edge of colour, which a JPEG of halved colour resolution would smear
    assert np.array_equal(unpacked(image_url(red, "png")), red)
    assert np.abs(unpacked(image_url(red, "jpeg")).astype(int) - red).max() < 12
    frames = video_url(np.stack([red, red[:, ::-1]])).removeprefix("data:video/jpeg;base64,").split(",")
    assert len(frames) == 2
    assert np.abs(unpacked(f"base64,{frames[1]}").astype(int) - red[:, ::-1]).max() < 12


def test_pictures_of_the_same_bytes_and_another_shape_are_others() -> None:
    picture = np.arange(96, dtype=np.uint8).reshape(4, 8, 3)
    assert fingerprint(picture) != fingerprint(picture.reshape(8, 4, 3))
    assert fingerprint(picture[::2]) == fingerprint(picture[::2].copy())


class Inner(BaseModel):
    default: int = 3
    """A name that is also a keyword of schemas."""


class Outer(BaseModel):
    inner: list[Inner] = Field(default_factory=list[Inner])
    title: str = ""


def test_every_property_is_required_and_no_other_allowed_at_every_depth() -> None:
    schema = strict_schema(Outer)
    inner = schema["$defs"]["Inner"]
    assert (schema["required"], inner["required"]) == (["inner", "title"], ["default"])
    assert schema["additionalProperties"] is inner["additionalProperties"] is False
    assert "default" not in schema["properties"]["title"]
    assert strict_schema(TaskPairs)["required"] == ["refused", "reason", "pairs"]


def test_an_object_is_found_in_what_surrounds_it() -> None:
    assert read('```json\n{"title": "a"}\n```', Outer).title == "a"
    with pytest.raises(ValueError, match="holds no JSON object"):
        read("]", Outer)


@pytest.mark.parametrize(
    "text",
    [
        '<think>There is {"title": "a long draft of it"}</think>{"title": "a"}',
        'There is [one] {dog}.</think>\n{"title": "a"} I hope that {this} helps!',
        'First {"title": ""}, or rather: {"title": "a"}. Not [1, 2], nor {"title": 7}.',
        'Thus: ```json\n{"title": "a", "inner": []}\n```',
        "[" * 100_000 + '{"title": "a"}',
    ],
)
def test_an_answer_is_found_among_thoughts_drafts_and_words(text: str) -> None:
    if text.startswith("[["):
        with pytest.raises(ValueError, match="broken"):
            read(text, Outer)
    else:
        assert read(text, Outer).title == "a"


@pytest.mark.parametrize(
    "text",
    [
        '{"title": "' + "a" * 10**6,
        "[" * 10**5,
        "[" * 50_000 + "]" * 50_000,
        '{"title' * 10**5,
        "[1," * 900 + "1," * 10**6,
        "<think>" * 10**5,
        "</think>" * 10**5,
        "<think></thought>" * 10**5,
    ],
    ids=lambda text: text[:9],
)
def test_a_long_text_that_holds_no_answer_is_given_up_soon(text: str) -> None:
    began = time.process_time()
    with pytest.raises(ValueError, match="the answer"):
        read(text, Outer)
    assert time.process_time() - began < 5  # minutes and more, where every beginning is followed to the end


@pytest.mark.parametrize("text", ["", " ", "<think>I am not sure</think>", '{"title": "a', '{"title": [}'])
def test_half_an_answer_and_mere_thoughts_are_none(text: str) -> None:
    with pytest.raises(ValueError):
        read(text, Outer)


def test_a_refusal_is_told_behind_thoughts_and_among_brackets() -> None:
    with pytest.raises(Refused):
        read("<think>Is this {safe}?</think>I'm sorry, but [as a model] I cannot.", Outer)


def test_halves_of_surrogates_are_written_so_that_they_can_be_stored() -> None:
    assert read('{"title": "a\\ud800b \\ud83d\\ude00"}', Outer).title == "a\\ud800b 😀"
    assert storable("a\ud800b") == "a\\ud800b"


def reply_of(usage: object = None, **message: object) -> Reply:
    return Reply.parse({"choices": [{"message": message}], "usage": usage})


def test_the_text_is_read_wherever_servers_put_it() -> None:
    assert reply_of(content="a").text == "a"
    parts = [{"type": "reasoning", "text": "hm"}, {"type": "text", "text": "a"}, "b", {"text": "c"}, 7]
    assert reply_of(content=parts).text == "abc"
    assert reply_of(content={"title": "a"}).text == '{"title": "a"}'
    assert reply_of(content=None, reasoning_content="a").text == reply_of(content="", reasoning="a").text == "a"
    assert reply_of(content="a", reasoning_content="thoughts").text == "a"


@pytest.mark.parametrize("count", [1e30, 10**30, -1, float("nan"), float("inf"), "many", None, [1], {}])
def test_a_count_of_tokens_that_cannot_be_one_costs_no_answer(count: object) -> None:
    usage = {"prompt_tokens": count, "completion_tokens": count, "prompt_tokens_details": {"cached_tokens": count}}
    log = RequestLog(None)
    for reply in (reply_of(usage, content="a"), reply_of({**usage, "prompt_tokens_details": count}, content="a")):
        assert (reply.text, reply.usage.prompt_tokens, reply.usage.cached_tokens) == ("a", 0, 0)
        log.spend("x", "m", reply.usage)
    assert log.spent().prompt_tokens == 0
    log.close()
    assert reply_of(count, content="a").text == "a"


def test_log_probabilities_of_another_form_are_missing_and_cost_no_answer() -> None:
    for wrong in ("x", {"content": 7}, {"content": [{"token": "a"}]}, []):
        reply = Reply.parse({"choices": [{"message": {"content": "a"}, "logprobs": wrong}]})
        assert (reply.text, reply.listed) == ("a", None)


def test_a_reply_without_number_is_not_a_number() -> None:
    position = {"token": "y", "logprob": None}
    body = {"choices": [{"message": {"content": "y"}, "logprobs": {"content": [position]}}]}
    found = Reply.parse(body).listed
    assert found is not None
    assert math.isnan(found["y"])


def test_how_a_server_is_reached_is_no_part_of_what_it_answers() -> None:
    here = ModelsConfig(writer="vllm")
    moved = here.model_copy(update={"server": ServerConfig(base_url="http://gpu7:9000/v1", concurrency=2)})
    other = here.model_copy(update={"server": ServerConfig(model="another")})
    assert here.digest() == moved.digest() != other.digest()
