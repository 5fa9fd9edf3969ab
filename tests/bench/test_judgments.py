"""What a judgment says about itself: what was asked, what was shown, what came, and why there is none."""

import hashlib
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.bench.synthetic import build
from tests.bench.tiny import FadeGenerator, ScriptedJudge
from tests.vlm import server as scripted
from tests.vlm.server import Asked, Behaviour, ScriptedServer
from wmsd_core import store
from wmsd_core.bench import judging
from wmsd_core.bench.evaluation import EvaluateConfig, Evaluation, items_of
from wmsd_core.bench.generation import generate_videos
from wmsd_core.bench.judging import TIE, judge_videos, read_again
from wmsd_core.bench.scores import NO_VIDEO, NOT_JUDGED, Missing, missing, outcomes
from wmsd_core.vlm import LogOdds, Question
from wmsd_core.vlm.request_log import RequestLog
from wmsd_core.vlm.server import ServerVLM
from wmsd_core.vlm.settings import ServerConfig

CONFIG = EvaluateConfig(tasks=8, steps=1, batch=3)
EVALUATION = Evaluation(config=CONFIG, model="fade-weights", adapter="trained", judge="script")
SAYS = [
    {"token_id:11": math.log(0.7), "token_id:12": math.log(0.1), "token_id:13": math.log(0.1)},
    {"token_id:11": math.log(0.2), "token_id:13": math.log(0.6)},
    {"token_id:11": math.log(0.9)},  # a bound
    {"token_id:11": math.log(0.4), "token_id:13": math.log(0.4)},  # a tie
    {"token_id:11": math.log(0.01), "token_id:13": math.log(0.02)},  # it wanted to say something else
    {"token_id:11": math.nan, "token_id:13": -1.0},
    {"token_id:11": 0.0, "token_id:13": -9999.0},  # processed
]


def varied(asked: Asked) -> Behaviour:
    """One of all kinds of answers, by the question and the video."""
    if "squares" in asked.words:
        return scripted.said("yes", listed=SAYS[0])
    drawn = hashlib.sha256((asked.words + asked.urls[0]).encode()).digest()[0]
    return scripted.said("yes", listed=SAYS[drawn % len(SAYS)])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = build(tmp_path, until="generate", frames=24)
    generate_videos(made, tmp_path / "videos", FadeGenerator(), EVALUATION)
    return made


@pytest.fixture
def vlm(path: Path) -> Iterator[ServerVLM]:
    with ScriptedServer(varied) as server:
        made = ServerVLM(ServerConfig(base_url=server.base_url, attempts=1, frames=2), path.parent / "requests.sqlite")
        yield made
        made.close()


def rows(path: Path) -> list[dict[str, Any]]:
    with store.reading(path) as con:
        return store.query(con, "SELECT * FROM judgments ORDER BY ALL")


def test_every_verdict_can_be_recomputed_from_the_store(path: Path, vlm: ServerVLM) -> None:
    judge_videos(path, vlm, EVALUATION.model_copy(update={"judge": vlm.judge}))
    judgments = rows(path)
    assert len(judgments) == 8 * 3 * 3 and len({row["evidence"] for row in judgments}) > len(SAYS)
    for row in judgments:
        answer = read_again(row)
        assert answer.verdict is row["verdict"]
        assert row["reason"] == (TIE if row["log_odds"] == 0 else answer.reason)
        assert (answer.value, answer.mass, answer.bound) == (row["log_odds"], row["mass"], row["bound"]) or (
            row["log_odds"] is None and not answer.valid
        )
    assert {row["verdict"] for row in judgments} == {True, False, None}
    assert any(row["bound"] for row in judgments)


def test_a_judgment_names_the_text_that_was_sent_the_request_and_what_was_shown(path: Path, vlm: ServerVLM) -> None:
    judge_videos(path, vlm, EVALUATION.model_copy(update={"judge": vlm.judge}))
    with store.reading(path) as con:
        tasks = [item.task for item in items_of(con, CONFIG)]
    sent = {
        hashlib.sha256(criterion.question.about(task=task).text.encode()).hexdigest()
        for criterion in EVALUATION.benchmark.criteria
        for task in tasks
    }
    log = RequestLog(path.parent / "requests.sqlite")
    judgments = rows(path)
    assert {row["text_sha256"] for row in judgments} == sent
    for row in judgments:
        assert (row["frames"], row["height"], row["width"]) == (2, 20, 20)  # two of four frames were shown
        reply = log.find(bytes.fromhex(row["request"]))
        assert (reply is not None) == (row["log_odds"] is not None)
        assert reply is None or reply.listed == json.loads(row["evidence"])["listed"]
    log.close()


def test_a_tie_is_no_verdict_has_its_own_reason_and_is_not_asked_again(path: Path) -> None:
    tie = ScriptedJudge(lambda question, video: LogOdds(0.0, mass=0.9))
    assert judge_videos(path, tie, EVALUATION).unread == 0
    assert {(row["verdict"], row["log_odds"], row["reason"]) for row in rows(path)} == {(None, 0.0, TIE)}
    assert judge_videos(path, tie, EVALUATION).asked == 0


def test_missing_judgments_are_told_by_arm_and_reason(path: Path) -> None:
    with store.writing(path) as con:
        gone, unseen = (row[0] for row in con.execute("SELECT path FROM videos WHERE arm = 'base' LIMIT 2").fetchall())
        con.execute("DELETE FROM videos WHERE path = ?", [gone])
    Path(unseen).unlink()

    def script(question: Question, video: np.ndarray) -> LogOdds:
        mass = int(video[1, 0, 0, 0]) / 1000  # another figure for each video
        return LogOdds.unread(f"p(yes) + p(no) is {mass:g}") if question.name == "judge_agent" else LogOdds(0.0)

    judge_videos(path, ScriptedJudge(script), EVALUATION)
    with store.reading(path) as con:
        told = missing(outcomes(con, EVALUATION))
    assert [row for row in told if row.arm == "executor"] == [
        Missing("executor", TIE, 16, 24),
        Missing("executor", "p(yes) + p(no) is ·", 8, 24),
    ]
    assert {(row.reason[:20], row.judgments) for row in told if row.arm == "base"} == {
        (TIE[:20], 12),
        ("p(yes) + p(no) is ·", 6),
        ("the video file is mi", 3),
        (NO_VIDEO[:20], 3),
    }
    with store.reading(path) as con:
        unasked = missing(outcomes(con, EVALUATION.model_copy(update={"judge": "another"})))
    assert [(row.reason, row.judgments) for row in unasked if row.arm == "executor"] == [(NOT_JUDGED, 24)]


def test_no_more_videos_are_in_memory_than_a_batch_or_so_many_bytes(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def most(judge: ScriptedJudge) -> int:
        held: list[int] = []
        asked = judge.log_odds
        judge.log_odds = lambda questions, media: held.append(len({id(m) for m in media})) or asked(questions, media)
        judge_videos(path, judge, EVALUATION.model_copy(update={"judge": judge.name}))
        return max(held)

    yes = LogOdds(1.0)
    assert most(ScriptedJudge(lambda question, video: yes, "one")) == CONFIG.batch
    monkeypatch.setattr(judging, "MOST_BYTES", 0)
    assert most(ScriptedJudge(lambda question, video: yes, "two")) == 1
