"""Generation with a scripted model: pairs, faults, refusals, unreadable answers, and what a second run does."""

import hashlib
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import RootModel

from tests.frames.pictures import count, left, registered, rejections, scene
from tests.worldtasks.scripted import ScriptedVLM, good_answer
from wmsd_core.store import query, reading
from wmsd_core.vlm import Refused
from wmsd_core.worldtasks import GenerateConfig, TaskPairs, generate_pairs, generation, label_tasks
from wmsd_core.worldtasks.kinds import wishes

CONFIG = GenerateConfig(count=2, attempts=2)


def rows_of(store: Path, sql: str) -> list[dict[str, object]]:
    with reading(store) as con:
        return query(con, sql)


def test_pairs_are_stored_with_their_identity_and_makers(tmp_path: Path) -> None:
    store, ids = registered(tmp_path, 1)
    vlm = ScriptedVLM(lambda call: good_answer())
    found = generate_pairs(store, ids, vlm, CONFIG)
    assert (found.frames, found.pairs, found.faults) == (1, 2, {})
    row = rows_of(store, "SELECT * FROM task_pairs ORDER BY position")[1]
    assert row["task"] == "[Man 1]: Walk to the door."
    assert (row["agent"], row["instruction"], row["position"]) == ("Man 1", "Walk to the door.", 1)
    assert row["pair_id"] == hashlib.sha256(f"{ids[0]}\n{row['task']}".encode()).hexdigest()
    assert (row["model"], row["prompt_version"]) == ("scripted/1", "generate/2")
    system, user = vlm.messages[0]
    assert system.images == ()
    assert np.array_equal(user.images[0], scene(0))
    assert "Write 2 different tasks" in user.text


def test_a_bad_pair_is_recorded_and_its_frame_stays(tmp_path: Path) -> None:
    store, ids = registered(tmp_path, 1)
    answer = good_answer()
    answer.pairs[0].task = "no brackets"
    found = generate_pairs(store, ids, ScriptedVLM(lambda call: answer), CONFIG)
    assert (found.frames, found.pairs, found.faults) == (1, 1, {"form": 1})
    assert left(store, "generate") == ids
    assert rejections(store, "generate") == {}
    (row,) = rows_of(store, "SELECT * FROM rejected_pairs")
    assert (row["frame_id"], row["position"], row["reason"], row["task"]) == (ids[0], 0, "form", "no brackets")
    assert (row["solution"], row["model"]) == (answer.pairs[0].solution, "scripted/1")


def test_refusals_and_answers_without_use_take_the_frame_out_and_are_not_asked_again(tmp_path: Path) -> None:
    store, ids = registered(tmp_path, 3)
    unusable = good_answer()
    for pair in unusable.pairs:
        pair.solution = ""
    said = [TaskPairs(refused=True, reason="nobody there"), unusable, TaskPairs(pairs=[])]
    found = generate_pairs(store, ids, ScriptedVLM(lambda call: said[call]), CONFIG)
    assert (found.frames, found.refused, found.without_pairs) == (0, 1, 2)
    assert left(store, "generate") == []
    sql = "SELECT reason, detail FROM rejections WHERE item IN (SELECT frame_id FROM frames) ORDER BY item"
    assert [row["reason"] for row in rows_of(store, sql)] == ["refused", "no_pairs", "no_pairs"]
    assert rows_of(store, sql)[0]["detail"] == "nobody there"
    assert [row["reason"] for row in rows_of(store, "SELECT reason FROM rejected_pairs")] == ["empty_solution"] * 2
    again = ScriptedVLM(lambda call: good_answer())
    assert generate_pairs(store, ids, again, CONFIG).before == 3
    assert again.asked == 0


def test_a_model_that_refuses_is_not_asked_a_second_time(tmp_path: Path) -> None:
    store, ids = registered(tmp_path, 1)
    stubborn = ScriptedVLM(lambda call: Refused("blood"))
    assert generate_pairs(store, ids, stubborn, CONFIG).refused == 1
    assert stubborn.asked == 1 < CONFIG.attempts
    assert [row["detail"] for row in rows_of(store, "SELECT detail FROM rejections")] == ["blood"]


def test_an_unreadable_answer_is_tried_with_another_seed_and_again_by_the_next_run(tmp_path: Path) -> None:
    store, ids = registered(tmp_path, 1)
    broken = ScriptedVLM(lambda call: ValueError("no JSON"))
    assert generate_pairs(store, ids, broken, CONFIG).unanswered == 1
    assert len(set(broken.seeds)) == 2
    assert rejections(store, "generate") == {"000.png": {"unanswered"}}
    assert left(store, "generate") == []
    shaky = ScriptedVLM(lambda call: ValueError("no JSON") if call == 0 else good_answer())
    assert generate_pairs(store, ids, shaky, CONFIG).frames == 1
    assert rejections(store, "generate") == {}
    assert left(store, "generate") == ids


def test_a_second_run_asks_nothing(tmp_path: Path) -> None:
    store, ids = registered(tmp_path, 3)
    generate_pairs(store, ids[:2], ScriptedVLM(lambda call: good_answer()), CONFIG)
    second = ScriptedVLM(lambda call: good_answer())
    assert generate_pairs(store, ids, second, CONFIG).before == 2
    assert second.asked == 1
    third = ScriptedVLM(lambda call: good_answer())
    generate_pairs(store, ids, third, CONFIG)
    assert third.asked == 0
    assert count(store, "task_pairs") == 6


def test_another_generation_replaces_the_pairs_and_their_labels(tmp_path: Path) -> None:
    store, ids = registered(tmp_path, 1)
    generate_pairs(store, ids, ScriptedVLM(lambda call: good_answer(3)), CONFIG)
    assert label_tasks(store) == 2 and count(store, "rejected_pairs") == 1  # the third is one too many
    assert label_tasks(store) == 0
    other = good_answer(1)
    other.pairs[0].solution = "He strolls over there and then stops in front of it at last."
    generate_pairs(store, ids, ScriptedVLM(lambda call: other), CONFIG.model_copy(update={"seed": 1}))
    assert [row["solution"] for row in rows_of(store, "SELECT solution FROM task_pairs")] == [other.pairs[0].solution]
    assert count(store, "rejected_pairs") == 0
    assert count(store, "taxonomy") == 0
    assert label_tasks(store) == 1


def test_a_server_that_dies_loses_nothing_that_was_answered(tmp_path: Path) -> None:
    store, ids = registered(tmp_path, 18)
    dying = ScriptedVLM(lambda call: ConnectionError("gone") if call == 16 else good_answer())
    with pytest.raises(ConnectionError):
        generate_pairs(store, ids, dying, CONFIG)
    answered = dying.asked - 1  # the last frame may have been begun before the error was seen
    assert answered in (16, 17)
    alive = ScriptedVLM(lambda call: good_answer())
    assert generate_pairs(store, ids, alive, CONFIG).before == answered
    assert alive.asked == 18 - answered


def test_an_answer_that_cannot_be_read_leaves_the_pairs_of_an_earlier_generation(tmp_path: Path) -> None:
    store, ids = registered(tmp_path, 1)
    generate_pairs(store, ids, ScriptedVLM(lambda call: good_answer()), CONFIG)
    later = CONFIG.model_copy(update={"seed": 1})
    assert generate_pairs(store, ids, ScriptedVLM(lambda call: ValueError("no JSON")), later).unanswered == 1
    assert count(store, "task_pairs") == 2
    assert left(store, "generate") == []
    assert generate_pairs(store, ids, ScriptedVLM(lambda call: good_answer()), CONFIG).before == 1


def test_a_frame_has_one_outcome_at_a_time(tmp_path: Path) -> None:
    store, ids = registered(tmp_path, 1)
    generate_pairs(store, ids, ScriptedVLM(lambda call: TaskPairs(refused=True)), CONFIG)
    later = CONFIG.model_copy(update={"seed": 1})
    generate_pairs(store, ids, ScriptedVLM(lambda call: ValueError("no JSON")), later)
    assert rejections(store, "generate") == {"000.png": {"unanswered"}}
    generate_pairs(store, ids, ScriptedVLM(lambda call: TaskPairs(pairs=[])), later)
    assert rejections(store, "generate") == {"000.png": {"no_pairs"}}


def test_what_the_writer_says_of_its_pairs_is_kept(tmp_path: Path) -> None:
    store, ids = registered(tmp_path, 1)
    answer = good_answer(2)
    answer.pairs[0].agent_type, answer.pairs[0].task_type = "human", "navigation"
    answer.pairs[0].end_state = " He stands\n at the door. "
    generate_pairs(store, ids, ScriptedVLM(lambda call: answer), CONFIG)
    rows = rows_of(store, "SELECT position, end_state FROM task_pairs ORDER BY position")
    assert [row["end_state"] for row in rows] == ["He stands at the door.", ""]
    sql = "SELECT position, labeller, agent_type, task_type FROM taxonomy JOIN task_pairs USING (pair_id)"
    kinds = {"agent_type": "human", "task_type": "navigation"}
    assert rows_of(store, sql) == [{"position": 0, "labeller": "generate/2 scripted/1", **kinds}]


def test_wishes_are_asked_for_and_remembered_and_do_not_depend_on_the_order(tmp_path: Path) -> None:
    store, ids = registered(tmp_path, 6)
    config = CONFIG.model_copy(update={"wishes": 2})
    vlm = ScriptedVLM(lambda call: good_answer())
    generate_pairs(store, ids, vlm, config)
    asked = dict(zip(ids, (user.text for _, user in vlm.messages), strict=True))
    for frame_id, text in asked.items():
        cells = wishes(frame_id, config.mix, 2, seed=0)
        assert all(f"- agent_type {cell.agent_type} with task_type {cell.task_type}:" in text for cell in cells)
        assert text.count("\n- agent_type") == 2
    assert len(set(asked.values())) > 1
    rows = rows_of(store, "SELECT frame_id, agent_type, task_type FROM wishes")
    assert {tuple(row.values()) for row in rows} == {(i, *c) for i in ids for c in wishes(i, config.mix, 2, seed=0)}
    backwards = ScriptedVLM(lambda call: good_answer())
    store, _ = registered(tmp_path / "again", 6)
    generate_pairs(store, ids[3:], backwards, config)
    generate_pairs(store, ids[:3], backwards, config)
    texts = [user.text for _, user in backwards.messages]
    assert texts[3:] + texts[:3] == list(asked.values())


def test_requests_are_under_way_together(tmp_path: Path) -> None:
    store, ids = registered(tmp_path, 4)
    meeting = threading.Barrier(4, timeout=20)  # breaks unless all four are asked at once

    def answer(call: int) -> TaskPairs:
        meeting.wait()
        return good_answer()

    assert generate_pairs(store, ids, ScriptedVLM(answer), CONFIG, concurrency=4).frames == 4


def test_seeds_belong_to_the_frame_and_not_to_the_order(tmp_path: Path) -> None:
    store, ids = registered(tmp_path, 3)
    one = ScriptedVLM(lambda call: good_answer())
    generate_pairs(store, ids, one, CONFIG)
    (tmp_path / "again").mkdir()
    store, ids = registered(tmp_path / "again", 3)
    other = ScriptedVLM(lambda call: good_answer())
    generate_pairs(store, ids[2:], other, CONFIG)
    assert other.seeds == one.seeds[2:]


def test_a_pair_that_is_none_costs_the_others_nothing_and_is_kept_with_its_reason(tmp_path: Path) -> None:
    store, ids = registered(tmp_path, 1)
    good = good_answer(7).model_dump()["pairs"]
    bad: list[object] = [{"task": "[Man]: Sit down."}, "text", None, {**good[0], "task": 7}]
    answer = RootModel[Any]({"pairs": [bad[0], *good, *bad[1:]]})
    found = generate_pairs(store, ids, ScriptedVLM(lambda call: answer), CONFIG.model_copy(update={"count": 8}))
    assert (found.frames, found.pairs, found.faults) == (1, 7, {"malformed": 4})
    with reading(store) as con:
        kept = query(con, "SELECT position, task, detail FROM rejected_pairs ORDER BY position")
    assert [row["position"] for row in kept] == [0, 8, 9, 10]
    assert kept[0] == {"position": 0, "task": "[Man]: Sit down.", "detail": "solution: Field required"}


def test_a_kind_that_nobody_knows_costs_a_pair_its_label_only() -> None:
    pair = {**good_answer(1).pairs[0].model_dump(), "agent_type": "alien", "task_type": 7}
    (read,) = TaskPairs.model_validate({"pairs": [pair]}).pairs
    assert (read.agent_type, read.task_type, read.task) == (None, None, "[Man 0]: Walk to the door.")


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"answer": {"pairs": [{"task": "[Man]: Sit.", "solution": "He sits."}]}},
        {"refused": False},
        {"refused": None, "pairs": None},
        {"pairs": "none"},
        {"reason": "too dark"},
        {"pairs": ["a", "b"]},
        [],
        ["a"],
        "no",
    ],
)
def test_an_answer_that_neither_refuses_nor_brings_pairs_is_none(said: object) -> None:
    with pytest.raises(ValueError):
        TaskPairs.model_validate(said)


def test_a_list_alone_is_that_of_the_pairs() -> None:
    assert TaskPairs.model_validate(good_answer().model_dump()["pairs"]) == good_answer()


def test_whatever_goes_wrong_with_one_answer_is_said_of_its_frame_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, ids = registered(tmp_path, 3)
    sound = generation.sift

    def sift(pairs: list[object], limits: object) -> object:
        if len(pairs) == 1:
            raise RecursionError("too deep")
        return sound(pairs, limits)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(generation, "sift", sift)
    found = generate_pairs(store, ids, ScriptedVLM(lambda call: good_answer(1 if call == 1 else 2)), CONFIG)
    assert (found.frames, found.pairs, found.unanswered) == (2, 4, 1)
    with reading(store) as con:
        (row,) = query(con, "SELECT reason, detail FROM rejections WHERE stage = 'generate'")
    assert row == {"reason": "unanswered", "detail": "failed: RecursionError: too deep"}
