"""Who answers yes/no questions: what makes a server another judge, and what does not."""

import math
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.vlm import server as scripted
from tests.vlm.server import Asked, Behaviour, Script, ScriptedServer
from wmsd_core.vlm.breaker import ServerUnusable
from wmsd_core.vlm.probe import QUESTION as PROBE
from wmsd_core.vlm.probe import Probe, picture
from wmsd_core.vlm.protocol import Question, judge_of
from wmsd_core.vlm.server import ServerVLM
from wmsd_core.vlm.settings import ServerConfig

QUESTION = Question("judge_task", "1", "Is it done? Answer yes or no.")
VIDEO = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3), dtype=np.uint8)

Make = Callable[..., ServerVLM]


def believes(yes: float, tokens: int = 1000) -> Behaviour:
    """A server that gives yes this probability, and spends so many tokens on what it was shown."""
    listed = {"token_id:11": math.log(yes), "token_id:13": math.log(1 - yes)}
    return scripted.said("yes", listed=listed, prompt_tokens=tokens)


def always(behaviour: Behaviour) -> Script:
    return lambda asked: behaviour


@pytest.fixture
def client() -> Iterator[Make]:
    made: list[ServerVLM] = []

    def make(server: ScriptedServer, requests: Path | None = None, **settings: object) -> ServerVLM:
        given = {"base_url": server.base_url, "attempts": 1, **settings}
        made.append(ServerVLM(ServerConfig.model_validate(given), requests))
        return made[-1]

    yield make
    for vlm in made:
        vlm.close()


def test_the_judge_is_model_version_settings_and_what_it_says_of_the_probe(client: Make) -> None:
    with ScriptedServer(always(believes(0.8))) as server:
        vlm = client(server)
        assert vlm.judge.startswith("vllm/judge=org/Judge-8B 0.33.0#")
        assert vlm.judge.endswith("probe +1.4/1000")
        assert [asked.words for asked in server.asked] == [PROBE.text]
        assert judge_of(vlm) == vlm.judge and len(server.asked) == 1


@pytest.mark.parametrize(
    "other",
    [
        {"script": always(believes(0.5))},
        {"script": always(believes(0.8, tokens=640))},  # it makes pictures smaller, and spends fewer tokens on them
        {"version": "0.34.0"},
        {"models": {"judge": "org/Judge-8B-FP8"}},
    ],
    ids=["other probabilities", "it resizes", "another version", "other weights"],
)
def test_another_server_is_another_judge(client: Make, other: dict[str, object]) -> None:
    with ScriptedServer(always(believes(0.8))) as one, ScriptedServer(**{"script": one.script, **other}) as two:  # pyright: ignore[reportArgumentType]
        assert client(one).judge != client(two).judge


def test_settings_that_yes_and_no_do_not_use_ask_nothing_again(client: Make, tmp_path: Path) -> None:
    with ScriptedServer(always(believes(0.8))) as server:
        first = client(server, tmp_path / "log")
        name, answer = first.judge, first.log_odds([QUESTION], [VIDEO])
        before = len(server.asked)
        for changed in ({"temperature": 0.1}, {"max_tokens": 17}, {"concurrency": 3}):
            again = client(server, tmp_path / "log", **changed)
            assert again.judge == name
            assert again.log_odds([QUESTION], [VIDEO]) == answer
        assert len(server.asked) == before
        assert client(server, tmp_path / "log", temperature=0.1).name != first.name  # it writes otherwise
        assert client(server, tmp_path / "log", frames=2).judge != name


def test_a_remembered_judge_is_compared_before_it_is_asked_anything_new(client: Make, tmp_path: Path) -> None:
    with ScriptedServer(always(believes(0.8))) as server:
        client(server, tmp_path / "log").judge  # noqa: B018
        vlm = client(server, tmp_path / "log")
        vlm.judge  # noqa: B018
        assert len(server.asked) == 1
        assert vlm.log_odds([QUESTION] * 2, [VIDEO, VIDEO[::-1]])[0].valid
        assert [asked.words == PROBE.text for asked in server.asked].count(True) == 2

        resizing = client(server, tmp_path / "log")
        name = resizing.judge
        server.script = always(believes(0.8, tokens=640))
        with pytest.raises(ServerUnusable, match=r"another judge .* probe \+1\.4/640 where it gave probe \+1\.4/1000"):
            resizing.log_odds([QUESTION], [VIDEO[:2]])
        assert client(server, tmp_path / "log", commit="smaller").judge != name


def test_a_little_noise_is_no_other_judge() -> None:
    assert Probe(1.0, 5).agrees(Probe(1.3, 5)) and Probe(None, 5).agrees(Probe(None, 5))
    assert not Probe(1.0, 5).agrees(Probe(1.6, 5))
    assert not Probe(1.0, 5).agrees(Probe(1.0, 6))
    assert not Probe(1.0, 5).agrees(Probe(None, 5))


@pytest.mark.parametrize(
    "listed",
    [{"token_id:11": 0.0, "token_id:13": -9999.0}, {"token_id:11": 0.0}, {"token_id:11": 0.0, "x": -math.inf}],
    ids=["minus 9999", "alone", "minus infinity"],
)
def test_log_probabilities_that_are_all_on_one_token_are_refused_as_processed(
    client: Make, listed: dict[str, float]
) -> None:
    one_hot = scripted.said("yes", listed=listed)
    with ScriptedServer(always(one_hot)) as server:
        vlm = client(server)
        with pytest.raises(ValueError, match="--logprobs-mode raw_logprobs"):
            vlm.judge  # noqa: B018
        answer = vlm.log_odds([QUESTION], [VIDEO])[0]  # and so is an answer, should the server change on the way
    assert answer.verdict is None and "processed" in answer.reason


def test_an_answer_of_great_certainty_is_no_processed_one(client: Make) -> None:
    certain = scripted.said("yes", listed={"token_id:11": -0.0, "token_id:13": -40.0})
    with ScriptedServer(always(certain)) as server:
        assert client(server).log_odds([QUESTION], [VIDEO])[0].value == pytest.approx(40)


def test_a_server_that_does_not_answer_the_probe_is_a_mistake_with_its_reason(client: Make) -> None:
    with (
        ScriptedServer(always(scripted.error(400, "no pictures here"))) as server,
        pytest.raises(ValueError, match=r"does not answer the probe .*no pictures here"),
    ):
        client(server).judge  # noqa: B018


def test_the_probe_is_the_same_picture_every_time_and_has_detail() -> None:
    from wmsd_core.vlm.media import fingerprint

    assert fingerprint(picture()) == fingerprint(picture.__wrapped__())
    assert fingerprint(picture()).startswith("45d6ff7a0c5a67be")


def test_evidence_names_what_was_shown_and_where_the_reply_is(client: Make, tmp_path: Path) -> None:
    def script(asked: Asked) -> Behaviour:
        return scripted.said("yes", listed={"token_id:11": math.log(0.9), "token_id:14": -3.0})

    with ScriptedServer(script) as server:
        vlm = client(server, tmp_path / "log", frames=2)
        answer = vlm.log_odds([QUESTION], [VIDEO])[0]
    assert answer.bound and answer.evidence is not None
    assert answer.evidence.shown == (2, 16, 16)
    assert vlm._log.find(bytes.fromhex(answer.evidence.request)) is not None
