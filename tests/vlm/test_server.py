"""The client of a model server, against one on loopback that misbehaves on purpose."""

import asyncio
import json
import logging
import math
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from pydantic import BaseModel

from tests.vlm import server as scripted
from tests.vlm.server import Asked, Behaviour, Script, ScriptedServer
from wmsd_core.vlm.breaker import ServerUnusable
from wmsd_core.vlm.protocol import Message, Question, Refused
from wmsd_core.vlm.request_log import spent
from wmsd_core.vlm.server import ServerVLM
from wmsd_core.vlm.settings import ServerConfig

SURE = scripted.said(
    "yes", listed={"token_id:13": math.log(0.2), "token_id:11": math.log(0.7), "token_id:12": math.log(0.1)}
)
"""p(yes) = .8 over two tokens, p(no) = .2."""
QUESTION = Question("screen", "3", "Is there a dog? Answer yes or no.")
TALK = [Message("system", "You are kind."), Message("user", "How many dogs?", (np.zeros((8, 8, 3), np.uint8),))]


class Dogs(BaseModel):
    dogs: int
    names: list[str] = []


GOOD = scripted.said('{"dogs": 2, "names": ["a", "b"]}')


def picture(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (16, 16, 3), dtype=np.uint8)


class Naps:
    """A sleep that takes no time, and a clock that it moves."""

    def __init__(self) -> None:
        self.taken: list[float] = []
        self.now = 0.0

    async def sleep(self, seconds: float) -> None:
        self.taken.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)

    def clock(self) -> float:
        return self.now


@pytest.fixture
def naps() -> Naps:
    return Naps()


@pytest.fixture
def client(naps: Naps) -> Iterator[type]:
    """Makes clients whose pauses take no time, and closes them."""
    made: list[ServerVLM] = []

    def make(server: ScriptedServer, requests: Path | None = None, **settings: object) -> ServerVLM:
        config = ServerConfig.model_validate({"base_url": server.base_url, "attempts": 3, **settings})
        made.append(ServerVLM(config, requests, sleep=naps.sleep, clock=naps.clock, draw=lambda: 0.5))
        return made[-1]

    yield make
    for vlm in made:
        vlm.close()


def always(behaviour: Behaviour) -> Script:
    return lambda asked: behaviour


def first(*behaviours: Behaviour, then: Behaviour) -> Script:
    """These for the first tries of each request, one after another, and `then` from there on."""
    return lambda asked: behaviours[asked.before] if asked.before < len(behaviours) else then


def test_log_odds_are_those_of_the_tokens_that_say_yes_and_no_in_this_place(client) -> None:
    with ScriptedServer(always(SURE)) as server:
        answer = client(server).log_odds([QUESTION], [picture(0)])[0]
        sent = server.asked[0].body
    assert answer.value == pytest.approx(math.log(0.8 / 0.2), abs=1e-12)
    assert answer.mass == pytest.approx(1.0)
    assert sent["logprob_token_ids"] == [11, 12, 13]  # "No" is two tokens there, so it is no label
    assert (sent["max_tokens"], sent["temperature"], sent["logprobs"]) == (1, 0.0, True)
    assert sent["chat_template_kwargs"] == {"enable_thinking": False}


def test_a_server_without_tokenizer_is_read_by_spelling(client) -> None:
    listed = {" Yes": math.log(0.5), "YES": math.log(0.1), "no": math.log(0.3), "maybe": math.log(0.1)}
    with ScriptedServer(always(scripted.said("Yes", listed=listed)), vllm=False) as server:
        answer = client(server).log_odds([QUESTION], [picture(0)])[0]
        assert "logprob_token_ids" not in server.asked[0].body
    assert answer.value == pytest.approx(math.log(0.6 / 0.3))
    assert answer.mass == pytest.approx(0.9)


def test_the_sign_follows_the_good_answer(client) -> None:
    bad = Question("anomaly", "1", "Is anything broken?", good="no")
    with ScriptedServer(always(SURE)) as server:
        assert client(server).log_odds([bad], [picture(0)])[0].value == pytest.approx(-math.log(4))


def test_a_written_answer_is_asked_for_by_schema_and_validated(client) -> None:
    with ScriptedServer(always(GOOD)) as server:
        vlm = client(server, temperature=0.3, max_tokens=77)
        assert vlm.complete(TALK, Dogs, seed=5) == Dogs(dogs=2, names=["a", "b"])
        sent = server.asked[0].body
    form = sent["response_format"]["json_schema"]
    assert form["strict"] is True
    assert form["schema"]["required"] == ["dogs", "names"]
    assert form["schema"]["additionalProperties"] is False
    assert (sent["seed"], sent["temperature"], sent["max_tokens"]) == (5, 0.3, 77)
    assert [message["role"] for message in sent["messages"]] == ["system", "user"]
    assert sent["messages"][1]["content"][0]["image_url"]["url"].startswith("data:image/jpeg;base64,")


def test_frames_of_a_video_are_sent_with_their_times_and_the_last_again_where_the_end_counts(client) -> None:
    video = np.stack([picture(seed) for seed in range(9)])
    end = Question("judge_task", "1", "Done?", end_state=True)
    with ScriptedServer(always(SURE)) as server:
        client(server, frames=4, fps=8).log_odds([QUESTION, end], [video, video])
    plain, ending = server.asked
    assert [url[:15] for url in plain.urls] == ["data:video/jpeg"]
    assert plain.urls[0].count(",") == 4
    times = {"num_frames": -1, "fps": 8, "frames_indices": [0, 3, 5, 8], "total_num_frames": 9, "duration": 9 / 8}
    assert plain.body["media_io_kwargs"]["video"] == times
    assert ending.urls[0] == plain.urls[0]  # the same bytes first, so that the server finds them in its cache
    assert ending.urls[1].startswith("data:image/jpeg")


def test_frames_can_be_sent_as_images(client) -> None:
    video = np.stack([picture(seed) for seed in range(9)])
    end = Question("judge_task", "1", "Done?", end_state=True)
    with ScriptedServer(always(SURE)) as server:
        client(server, frames=4, video="images", encoding="png").log_odds([end], [video])
    assert [url[:14] for url in server.asked[0].urls] == ["data:image/png"] * 4
    assert "media_io_kwargs" not in server.asked[0].body


FAULTS: dict[str, tuple[Behaviour, str]] = {
    "500": (scripted.error(500), "the server failed"),
    "503": (scripted.error(503), "the server failed"),
    "429": (scripted.error(429, Retry_After="7"), "busy"),
    "half a JSON": (scripted.half(), "cannot be read"),
    "not JSON": (scripted.body("<html>gateway</html>", kind="text/html"), "cannot be read"),
    "wrong content type": (scripted.body("ok", kind="text/plain"), "cannot be read"),
    "nothing": (scripted.body(""), "cannot be read"),
    "no choices": (scripted.body('{"choices": []}'), "cannot be read"),
    "reset in the body": (scripted.reset(), "connection failed"),
    "silence": (scripted.hang(), "silent"),
    "a trickle": (scripted.trickle(0.05), "no answer within"),
}


SHORT = {"silence": {"read_timeout": 0.4}, "a trickle": {"total_timeout": 0.4}}
"""The faults that only a time limit ends; for the others there is all the time in the world."""


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_that_passes_is_tried_again(fault: str, client) -> None:
    with ScriptedServer(first(FAULTS[fault][0], then=SURE)) as server:
        vlm = client(server, **SHORT.get(fault, {}))
        assert vlm.log_odds([QUESTION], [picture(0)])[0].valid
        assert len(server.asked) >= 2


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_that_stays_is_no_verdict_and_has_its_reason(fault: str, client, tmp_path: Path) -> None:
    behaviour, reason = FAULTS[fault]
    with ScriptedServer(always(behaviour)) as server:
        vlm = client(server, tmp_path / "log", attempts=2, **SHORT.get(fault, {}))
        answer = vlm.log_odds([QUESTION], [picture(0)])[0]
        with pytest.raises(ValueError, match=reason):
            vlm.complete(TALK, Dogs, seed=0)
        assert len(server.asked) == 4
    assert answer.verdict is None
    assert reason in answer.reason
    assert spent(tmp_path / "log").failures == 4


UNREADABLE: dict[str, tuple[Behaviour, str]] = {
    "no log-probabilities": (scripted.said("yes"), "no log-probabilities"),
    "an empty list": (scripted.said("yes", listed={}), "neither yes nor no"),
    "not a number": (scripted.said("yes", listed={"token_id:11": math.nan, "token_id:13": -1.0}), "not a number"),
    "minus 9999": (scripted.said("I", listed={"token_id:11": -9999.0, "token_id:13": -9999.0}), "neither yes nor no"),
    "little mass": (scripted.said("<think>", listed={"token_id:11": -5.0, "token_id:13": -6.0}), "'<think>'"),
    "a refusal": (scripted.said("", listed={"token_id:11": -0.1}, refusal="I must not"), "refused"),
}


@pytest.mark.parametrize("fault", UNREADABLE)
def test_an_unreadable_answer_to_a_question_is_no_verdict(fault: str, client) -> None:
    behaviour, reason = UNREADABLE[fault]
    with ScriptedServer(always(behaviour)) as server:
        answer = client(server).log_odds([QUESTION], [picture(0)])[0]
    assert answer.verdict is None
    assert reason in answer.reason


DECLINED = {
    "a field of its own": scripted.said("", refusal="I must not"),
    "prose": scripted.said("  I’m sorry, but I can't help with that."),
    "a filter": scripted.said('{"dogs": 2}', finish="content_filter"),
}


@pytest.mark.parametrize("how", DECLINED)
def test_a_refusal_is_told_apart_and_remembered(how: str, client, tmp_path: Path) -> None:
    with ScriptedServer(always(DECLINED[how])) as server:
        for _ in range(2):
            with pytest.raises(Refused, match=r"the model refused: ."):
                client(server, tmp_path / "log").complete(TALK, Dogs, seed=0)
        assert len(server.asked) == 1


UNUSABLE: dict[str, tuple[Behaviour, str]] = {
    "half an object": (scripted.said('{"dogs": 2, "na'), "not of the form"),
    "another form": (scripted.said('{"cats": 2}'), "dogs: Field required"),
    "empty": (scripted.said(""), "empty"),
    "prose": (scripted.said("Two dogs."), "no JSON object"),
    "cut off": (scripted.said('{"dogs": 2}', finish="length"), "cut off"),
    "prose with an apology in it": (scripted.said("Two dogs. I am sorry for the third."), "no JSON object"),
}


@pytest.mark.parametrize("fault", UNUSABLE)
def test_an_unusable_written_answer_is_a_value_error_that_says_why(fault: str, client) -> None:
    behaviour, reason = UNUSABLE[fault]
    with ScriptedServer(always(behaviour)) as server:
        with pytest.raises(ValueError, match=reason) as raised:
            client(server).complete(TALK, Dogs, seed=0)
        assert not isinstance(raised.value, Refused)
        assert len(server.asked) == 1  # another seed may help, the same one would not


def test_a_request_that_the_server_refuses_is_not_repeated_and_stops_nobody_else(client) -> None:
    def script(asked: Asked) -> Behaviour:
        return scripted.error(400, "the prompt is too long") if asked.urls[0] in bad else SURE

    bad: set[str] = set()
    with ScriptedServer(script) as server:
        vlm = client(server, encoding="png", failures=1)
        vlm.log_odds([QUESTION], [picture(0)])
        bad.add(server.asked[0].urls[0])
        answers = vlm.log_odds([Question("screen", "4", "Cat?")] * 3, [picture(1), picture(0), picture(2)])
        assert len(server.asked) == 4
    assert [answer.valid for answer in answers] == [True, False, True]
    assert "too long" in answers[1].reason


def test_pauses_grow_with_jitter_and_honour_what_the_server_asks_for(client, naps: Naps) -> None:
    with ScriptedServer(first(scripted.error(500), scripted.error(429, Retry_After="7"), then=SURE)) as server:
        client(server, backoff=2, attempts=3).log_odds([QUESTION], [picture(0)])
    assert naps.taken == [1.0, 7 + 2.0]  # draw * 2 * 2^k, and what was asked for on top


def test_a_pause_longer_than_our_patience_gives_the_request_up(client, naps: Naps) -> None:
    with ScriptedServer(always(scripted.error(429, Retry_After="900"))) as server:
        answer = client(server, patience=60).log_odds([QUESTION], [picture(0)])[0]
    assert "900" in answer.reason
    assert naps.taken == []


def test_no_more_requests_are_under_way_than_allowed_whoever_asks(client) -> None:
    with ScriptedServer(always(scripted.after(0.03, SURE))) as server:
        vlm = client(server, concurrency=4)
        work = [
            threading.Thread(target=vlm.log_odds, args=([QUESTION] * 10, [picture(10 * n + i) for i in range(10)]))
            for n in range(3)
        ]
        for thread in work:
            thread.start()
        for thread in work:
            thread.join()
        assert len(server.asked) == 30
        assert server.most == 4


def test_a_server_that_goes_away_is_left_alone_and_its_return_is_noticed(client, naps: Naps) -> None:
    with ScriptedServer(always(SURE)) as server:
        vlm, back = client(server, failures=2, attempts=6), list[bool]()
        server.stop()

        async def sleep(seconds: float) -> None:
            await Naps.sleep(naps, seconds)
            if len(naps.taken) >= 6 and not back:
                back.append(True)
                server.start()

        vlm._connection._sleep = vlm._connection.breaker._sleep = sleep
        answers = vlm.log_odds([QUESTION] * 8, [picture(seed) for seed in range(8)])
        assert all(answer.valid for answer in answers)
        assert not vlm._connection.breaker.open


def test_a_server_that_stays_away_ends_the_call_with_the_cure(client, naps: Naps, tmp_path: Path) -> None:
    with ScriptedServer(always(SURE)) as server:
        vlm = client(server, tmp_path / "log", failures=4, patience=100, attempts=6)
        assert vlm.log_odds([QUESTION], [picture(0)])[0].valid
        server.stop()
        with pytest.raises(ServerUnusable, match=r"deployments/vllm/serve\.sh") as raised:
            vlm.log_odds([QUESTION] * 20, [picture(seed) for seed in range(20)])
        assert server.base_url in str(raised.value)
        assert naps.now >= 100
        # 20 requests at 6 attempts each would be 120 tries; those under way and the few that open the breaker are not
        assert spent(tmp_path / "log").failures <= 20 + 4
        server.start()
        assert all(answer.valid for answer in vlm.log_odds([QUESTION] * 20, [picture(seed) for seed in range(20)]))
        assert len(server.asked) == 20  # the one that was answered before is remembered


def test_what_was_answered_is_not_asked_again(client, tmp_path: Path) -> None:
    with ScriptedServer(lambda asked: SURE if "dog?" in asked.words else GOOD) as server:
        for _ in range(2):
            vlm = client(server, tmp_path / "log", prompt_price=1)
            before = vlm.log_odds([QUESTION], [picture(0)])
            written = vlm.complete(TALK, Dogs, seed=5)
        assert len(server.asked) == 2
        assert before[0].value == pytest.approx(math.log(4))
        assert written.dogs == 2
        # anything that could change the answer makes it another request
        vlm.complete(TALK, Dogs, seed=6)
        vlm.log_odds([QUESTION], [picture(1)])
        vlm.log_odds([Question("screen", "4", QUESTION.text)], [picture(0)])
        client(server, tmp_path / "log", commit="abc").complete(TALK, Dogs, seed=5)
        assert len(server.asked) == 6


def test_an_answer_that_could_not_be_read_is_asked_for_again(client, tmp_path: Path) -> None:
    with ScriptedServer(first(scripted.said("hm"), then=SURE)) as server:
        vlm = client(server, tmp_path / "log")
        assert not vlm.log_odds([QUESTION], [picture(0)])[0].valid
        assert vlm.log_odds([QUESTION], [picture(0)])[0].valid


def test_tokens_are_counted_and_priced(client, tmp_path: Path) -> None:
    with ScriptedServer(first(scripted.error(500), then=SURE)) as server:
        client(server, tmp_path / "log").log_odds([QUESTION] * 3, [picture(seed) for seed in range(3)])
    total = spent(tmp_path / "log")
    assert (total.replies, total.failures) == (3, 3)
    assert (total.prompt_tokens, total.cached_tokens, total.completion_tokens) == (300, 120, 30)
    assert total.cost(prompt=2, cached=0.5, completion=10) == pytest.approx((180 * 2 + 120 * 0.5 + 30 * 10) / 1e6)


def test_the_name_says_which_weights_answered_and_how_they_were_asked(client) -> None:
    with ScriptedServer(always(SURE)) as server:
        one, same = (
            client(server, commit="9d8f"),
            client(server, commit="9d8f", concurrency=2, patience=1, prompt_price=3),
        )
        other = client(server, commit="9d8f", frames=16)
    assert one.name.startswith("vllm/judge=org/Judge-8B@9d8f#")
    assert same.name == one.name
    assert other.name != one.name


@pytest.mark.parametrize(
    ("settings", "models", "cure"),
    [
        ({"model": "other"}, {"judge": "a"}, "does not serve 'other': set models.server.model to one of judge"),
        ({}, {"a": "a", "b": "b"}, "serves several models: set models.server.model to one of a, b"),
        ({}, {}, "--served-model-name"),
    ],
)
def test_a_model_that_is_not_served_is_a_mistake_with_a_cure(
    settings: dict[str, str], models: dict[str, str], cure: str, client
) -> None:
    with ScriptedServer(always(SURE), models=models) as server, pytest.raises(ValueError, match=cure):
        client(server, **settings)


def test_a_server_that_is_not_there_is_a_mistake_with_a_cure(client) -> None:
    with ScriptedServer(always(SURE)) as server:
        server.stop()
        with pytest.raises(
            ValueError, match=rf"no model server answers at {server.base_url} .*models\.server\.base_url"
        ):
            client(server)


def test_a_server_without_the_flag_for_frame_times_is_named_with_it(client) -> None:
    refusal = scripted.error(400, "Per-request media_io_kwargs are disabled by default because")
    with ScriptedServer(always(refusal)) as server, pytest.raises(ServerUnusable, match="--trust-request-mm-kwargs"):
        client(server).log_odds([QUESTION], [np.stack([picture(0)] * 4)])


def test_the_key_comes_from_the_environment_and_is_shown_nowhere(
    client, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    key = "sk-very-secret-4711"
    monkeypatch.setenv("WMSD_VLM_API_KEY", key)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-another-service")
    caplog.set_level(logging.DEBUG)
    # a server that repeats the key in whatever it says
    with ScriptedServer(first(scripted.error(400, f"bad request with key {key}"), then=SURE), key=key) as server:
        vlm = client(server, tmp_path / "log")
        answer = vlm.log_odds([QUESTION], [picture(0)])[0]
        assert vlm.log_odds([QUESTION], [picture(0)])[0].valid
        assert all(asked.headers["authorization"] == f"Bearer {key}" for asked in server.asked)
        seen = [repr(vlm), repr(vlm._connection), vlm.name, answer.reason, repr(vlm._config), caplog.text]
        server.key = "sk-another"
        try:
            vlm.log_odds([QUESTION], [picture(1)])
        except ServerUnusable:
            seen.append(traceback.format_exc())
        assert "WMSD_VLM_API_KEY" in seen[-1]
        with pytest.raises(ValueError, match="WMSD_VLM_API_KEY"):
            client(server)
    assert "***" in answer.reason
    stored = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert not any(key in text for text in seen)
    assert key.encode() not in stored


def test_another_services_key_is_not_sent(client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WMSD_VLM_API_KEY", raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-another-service")
    monkeypatch.setenv("OPENAI_ORG_ID", "org-of-another-service")
    with ScriptedServer(always(SURE)) as server:
        client(server).log_odds([QUESTION], [picture(0)])
        assert "another-service" not in json.dumps(server.asked[0].headers)


@pytest.mark.parametrize(
    "url", ["http://me:secret@host/v1", "http://host/v1?key=secret", "host:8000/v1", "ftp://host/v1"]
)
def test_an_address_with_a_key_in_it_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="an address"):
        ServerConfig(base_url=url)
