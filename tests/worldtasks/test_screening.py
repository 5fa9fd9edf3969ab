"""Screening with a scripted model: verdicts, answers that could not be read, and a server that dies."""

import math
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import pytest

from tests.frames.pictures import count, left, registered, rejections
from tests.worldtasks.scripted import ScriptedVLM
from wmsd_core.arrays import Image, Video
from wmsd_core.store import query, reading
from wmsd_core.vlm import LogOdds, Question
from wmsd_core.worldtasks import ScreenConfig, keep_suitable, screen_frames


def test_only_a_readable_yes_passes(tmp_path: Path) -> None:
    store, ids = registered(tmp_path, 4)
    said = [LogOdds(2.5), LogOdds(-1.0), LogOdds.unread("no logprobs"), LogOdds(math.inf)]
    vlm = ScriptedVLM(lambda call: said[call])
    found = screen_frames(store, ids, vlm)
    assert (found.answered, found.unread, found.before) == (3, 1, 0)
    judged = keep_suitable(store, vlm.name, ScreenConfig())
    assert (judged.kept, judged.unsuitable, judged.unread) == (2, 1, 1)
    assert left(store, "screen") == [ids[0], ids[3]]
    with reading(store) as con:
        rows = query(con, "SELECT log_odds, suitable, reason, prompt_version FROM screenings ORDER BY frame_id")
    assert rows[2] == {"log_odds": None, "suitable": None, "reason": "no logprobs", "prompt_version": "screen/2"}
    assert [row["suitable"] for row in rows] == [True, False, None, True]


def test_unread_frames_are_asked_about_again_and_no_others(tmp_path: Path) -> None:
    store, ids = registered(tmp_path, 3)
    first = ScriptedVLM(lambda call: LogOdds.unread("cut off") if call == 1 else LogOdds(1.0))
    screen_frames(store, ids, first)
    keep_suitable(store, first.name, ScreenConfig())
    assert len(left(store, "screen")) == 2
    second = ScriptedVLM(lambda call: LogOdds(3.0))
    assert screen_frames(store, ids, second).before == 2
    assert second.asked == 1
    assert keep_suitable(store, second.name, ScreenConfig()).kept == 3
    third = ScriptedVLM(lambda call: LogOdds(3.0))
    screen_frames(store, ids, third)
    assert third.asked == 0
    assert count(store, "screenings") == 3


def test_another_threshold_asks_nobody_and_a_value_at_it_is_dropped(tmp_path: Path) -> None:
    store, ids = registered(tmp_path, 2)
    vlm = ScriptedVLM(lambda call: LogOdds([1.0, 1.5][call]))
    screen_frames(store, ids, vlm)
    assert keep_suitable(store, vlm.name, ScreenConfig(min_log_odds=1.0)).kept == 1
    assert left(store, "screen") == ids[1:]
    assert rejections(store, "screen") != {}
    assert keep_suitable(store, vlm.name, ScreenConfig()).kept == 2
    assert keep_suitable(store, "another model", ScreenConfig()).unread == 2


def test_a_server_that_dies_loses_the_batch_in_flight_only(tmp_path: Path) -> None:
    store, ids = registered(tmp_path, 40)
    dying = ScriptedVLM(lambda call: ConnectionError("server gone") if call == 35 else LogOdds(1.0))
    with pytest.raises(ConnectionError):
        screen_frames(store, ids, dying)
    assert count(store, "screenings") == 32
    alive = ScriptedVLM(lambda call: LogOdds(1.0))
    assert screen_frames(store, ids, alive).before == 32
    assert alive.asked == 8


def test_a_frame_that_cannot_be_read_leaves_with_its_reason(tmp_path: Path) -> None:
    store, ids = registered(tmp_path, 2)
    (tmp_path / "images" / "000.png").unlink()
    vlm = ScriptedVLM(lambda call: LogOdds(1.0))
    assert screen_frames(store, ids, vlm).unusable == 1
    assert vlm.asked == 1
    assert rejections(store, "frames") == {"000.png": {"missing"}}


def test_a_model_that_takes_many_questions_gets_small_batches_together(tmp_path: Path) -> None:
    store, ids = registered(tmp_path, 12)

    class Server(ScriptedVLM):
        sizes: ClassVar[list[int]] = []
        meeting = threading.Barrier(6, timeout=20)  # breaks unless six batches are under way at once

        def log_odds(self, questions: Sequence[Question], media: Sequence[Image | Video]) -> list[LogOdds]:
            self.sizes.append(len(questions))
            self.meeting.wait()
            return super().log_odds(questions, media)

    assert screen_frames(store, ids, Server(lambda call: LogOdds(1.0)), concurrency=8).answered == 12
    assert Server.sizes == [2] * 6
