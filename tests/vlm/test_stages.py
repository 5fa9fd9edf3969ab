"""Screening and generation through the client against a server that misbehaves: nothing is lost, nothing is made up."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.frames.pictures import registered
from tests.vlm import server as scripted
from tests.vlm.server import Asked, Behaviour, ScriptedServer
from wmsd_core.store import query, reading
from wmsd_core.vlm.server import ServerVLM
from wmsd_core.vlm.settings import ServerConfig
from wmsd_core.worldtasks import GenerateConfig, generate_pairs, screen_frames

YES = scripted.said("yes", listed={"token_id:11": math.log(0.9), "token_id:13": math.log(0.1)})
NO = scripted.said("no", listed={"token_id:11": math.log(0.2), "token_id:13": math.log(0.8)})
BAD: list[tuple[Behaviour, str]] = [
    (scripted.error(500), "the server failed"),
    (scripted.error(429, Retry_After="0"), "busy"),
    (scripted.hang(), "silent"),
    (scripted.half(), "cannot be read"),
    (scripted.said("yes"), "no log-probabilities"),
    (scripted.said("", listed={"token_id:11": -0.1}, refusal="no"), "refused"),
    (scripted.said("", listed={}), "neither yes nor no"),
    (scripted.said("<think>", listed={"token_id:11": -9.0}), "less than 0.5"),
    (scripted.reset(), "connection failed"),
    (scripted.body("<html>", kind="text/html"), "cannot be read"),
    (scripted.trickle(0.05), "no answer within"),
    (scripted.said("yes", listed={"token_id:11": math.nan}), "not a number"),
    (scripted.error(400, "too many pixels"), "too many pixels"),
]
PAIRS = {
    "refused": False,
    "reason": "",
    "pairs": [
        {"task": "[Man]: Walk to the door.", "solution": "He turns around, walks along the wall and stops there."}
    ],
}
WRITTEN: list[tuple[Behaviour, str]] = [
    (scripted.error(503), "the server failed"),
    (scripted.hang(), "silent"),
    (scripted.said('{"refused": false, "pai'), "not of the form"),
    (scripted.said('{"pairs": "none"}'), "pairs"),
    (scripted.said(""), "empty"),
    (scripted.said(json.dumps(PAIRS), finish="length"), "cut off"),
    (scripted.reset(), "connection failed"),
    (scripted.trickle(0.05), "no answer within"),
    (scripted.body("[]"), "cannot be read"),
]
REFUSED: list[tuple[Behaviour, str]] = [
    (scripted.said(json.dumps({"refused": True, "reason": "nobody there", "pairs": []})), "nobody there"),
    (scripted.said("", refusal="I cannot help with that"), "I cannot help with that"),
    (scripted.said("I'm sorry, but there is blood."), "I'm sorry, but there is blood."),
    (scripted.said("", finish="content_filter"), "the server's content filter"),
]
IMPATIENT = {
    "attempts": 2,
    "backoff": 0.01,
    "read_timeout": 0.5,
    "total_timeout": 1.0,
    "concurrency": 8,
    "encoding": "png",
}


class ByPicture:
    """Gives the n-th picture it sees the n-th behaviour, every time."""

    def __init__(self, behaviours: list[Behaviour]) -> None:
        self.behaviours, self.pictures = behaviours, list[str]()

    def __call__(self, asked: Asked) -> Behaviour:
        if asked.urls[0] not in self.pictures:
            self.pictures.append(asked.urls[0])
        return self.behaviours[self.pictures.index(asked.urls[0])]


def rows(store: Path, sql: str) -> list[dict[str, object]]:
    with reading(store) as con:
        return query(con, sql)


def test_screening_loses_no_frame_and_counts_no_fault_as_a_verdict(tmp_path: Path) -> None:
    behaviours = [YES, *(behaviour for behaviour, _ in BAD), NO, YES]
    store, ids = registered(tmp_path, len(behaviours))
    with ScriptedServer(ByPicture(behaviours)) as server:
        vlm = ServerVLM(ServerConfig.model_validate({"base_url": server.base_url, **IMPATIENT}), tmp_path / "log")
        found = screen_frames(store, ids, vlm)
        stored = rows(store, "SELECT * FROM screenings")
        assert (found.answered, found.unread, found.unusable) == (3, len(BAD), 0)
        assert {row["frame_id"] for row in stored} == set(ids)
        assert sorted(str(row["suitable"]) for row in stored if row["suitable"] is not None) == [
            "False",
            "True",
            "True",
        ]
        unread = [row for row in stored if row["suitable"] is None]
        assert all(row["log_odds"] is None for row in unread)
        for _, reason in BAD:
            assert any(reason in str(row["reason"]) for row in unread), reason
        # the server has recovered: the rest is asked, and only the rest
        server.script, before = (lambda asked: YES), len(server.asked)
        assert screen_frames(store, ids, vlm).answered == len(BAD)
        assert len(server.asked) == before + len(BAD)
        vlm.close()


def test_generation_loses_no_frame_and_makes_no_fault_a_pair(tmp_path: Path) -> None:
    behaviours = [scripted.said(json.dumps(PAIRS)), *(behaviour for behaviour, _ in WRITTEN + REFUSED)]
    store, ids = registered(tmp_path, len(behaviours))
    with ScriptedServer(ByPicture(behaviours)) as server:
        vlm = ServerVLM(ServerConfig.model_validate({"base_url": server.base_url, **IMPATIENT}), tmp_path / "log")
        config = GenerateConfig(count=1, attempts=1)
        found = generate_pairs(store, ids, vlm, config, concurrency=vlm.concurrency)
        assert (found.frames, found.refused, found.unanswered) == (1, len(REFUSED), len(WRITTEN))
        said = rows(store, "SELECT item, detail FROM rejections WHERE reason = 'unanswered'")
        paired = rows(store, "SELECT frame_id AS item FROM task_pairs")
        refused = rows(store, "SELECT item, detail FROM rejections WHERE reason = 'refused'")
        assert sorted(str(row["detail"]) for row in refused) == sorted(reason for _, reason in REFUSED)
        assert {row["item"] for row in said + paired + refused} == set(ids)
        for _, reason in WRITTEN:
            assert any(reason in str(row["detail"]) for row in said), reason
        # the server has recovered: what was no answer is asked for again, what was refused is not
        server.script, server.asked = (lambda asked: scripted.said(json.dumps(PAIRS))), []
        assert generate_pairs(store, ids, vlm, config, concurrency=8).frames == len(WRITTEN)
        assert len(server.asked) == len(WRITTEN)
        vlm.close()


PROGRAM = """
import sys
from pathlib import Path
from wmsd_core.store import reading
from wmsd_core.store.funnel import survivors
from wmsd_core.vlm.server import ServerVLM
from wmsd_core.vlm.settings import ServerConfig
from wmsd_core.worldtasks import screen_frames

store, log, url = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
with reading(store) as con:
    ids = survivors(con, "frames")
screen_frames(store, ids, ServerVLM(ServerConfig(base_url=url, concurrency=4), log))
"""


def test_a_killed_stage_asks_nothing_again_that_was_answered(tmp_path: Path) -> None:
    """Killed with SIGKILL inside the first batch, when nothing of it is in the store yet."""
    after = 7
    store, ids = registered(tmp_path, 12)
    command = [sys.executable, "-c", PROGRAM, str(store), str(tmp_path / "log")]
    answered: list[str] = []

    def script(asked: Asked) -> Behaviour:
        if len(answered) >= after:
            return scripted.hang()
        answered.append(asked.urls[0])
        return YES

    with ScriptedServer(script) as server:
        with subprocess.Popen([*command, server.base_url], start_new_session=True) as process:
            deadline = time.monotonic() + 60
            while len(server.asked) < after + 4 and time.monotonic() < deadline:
                time.sleep(0.02)
            os.killpg(process.pid, signal.SIGKILL)
        assert rows(store, "SELECT * FROM screenings") == []
        server.script, server.asked = (lambda asked: YES), []
        vlm = ServerVLM(ServerConfig(base_url=server.base_url, concurrency=4), tmp_path / "log")
        screen_frames(store, ids, vlm)
        vlm.close()
        asked_again = [asked.urls[0] for asked in server.asked]
    assert len(asked_again) == 12 - after
    assert not set(asked_again) & set(answered)
    assert len(rows(store, "SELECT * FROM screenings WHERE suitable")) == 12
