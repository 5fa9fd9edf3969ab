"""A model as second labeller: one request per frame, answers that do not fit, and agreement beyond chance."""

import math
from pathlib import Path

import pytest

from tests.frames.pictures import count, registered
from tests.worldtasks.scripted import ScriptedVLM, good_answer
from wmsd_core.store import insert, query, reading, writing
from wmsd_core.worldtasks import GenerateConfig, LabelConfig, generate_pairs, label_by_model, label_tasks
from wmsd_core.worldtasks.agreement import agreements, cohen_kappa
from wmsd_core.worldtasks.labelling import TaskLabels, labeller_of
from wmsd_core.worldtasks.selection import labeller

CONFIG = LabelConfig(ask=True)


def said(*kinds: tuple[str, str]) -> TaskLabels:
    rows = [{"number": n, "agent_type": agent, "task_type": task} for n, (agent, task) in enumerate(kinds, start=1)]
    return TaskLabels.model_validate({"labels": rows})


def written(tmp_path: Path, frames: int) -> tuple[Path, list[str]]:
    store, ids = registered(tmp_path, frames)
    generate_pairs(store, ids, ScriptedVLM(lambda call: good_answer(2)), GenerateConfig(count=2))
    return store, ids


def test_the_tasks_of_a_frame_are_one_request_and_its_answer_is_stored_in_order(tmp_path: Path) -> None:
    store, ids = written(tmp_path, 2)
    vlm = ScriptedVLM(lambda call: said(("human", "navigation"), ("creature", "ui")))
    found = label_by_model(store, ids, vlm, CONFIG)
    assert (vlm.asked, found.labelled, found.before, found.unread, found.why) == (2, 4, 0, 0, "")
    system, user = vlm.messages[0]
    assert "1. [Man 0]: Walk to the door.\n2. [Man 1]: Walk to the door." in user.text
    assert "- vehicle_control: steering" in user.text and "- crowd: several" in user.text
    assert (system.images, user.images) == ((), ())  # by text alone
    with reading(store) as con:
        rows = query(
            con, "SELECT DISTINCT position, agent_type, task_type FROM taxonomy JOIN task_pairs USING (pair_id)"
        )
    assert sorted(map(tuple, (row.values() for row in rows))) == [(0, "human", "navigation"), (1, "creature", "ui")]
    again = ScriptedVLM(lambda call: said())
    assert label_by_model(store, ids, again, CONFIG).before == 4
    assert again.asked == 0


@pytest.mark.parametrize(
    "bad",
    [
        said(("human", "navigation")),
        said(("human", "navigation"), ("human", "ui"), ("human", "ui")),
        said(("human", "navigation"), ("human", "ui")).model_copy(
            update={"labels": said(("human", "navigation"), ("human", "ui")).labels[::-1]}
        ),
        ValueError("no JSON"),
    ],
)
def test_an_answer_that_does_not_fit_labels_nothing_and_is_asked_for_again(
    tmp_path: Path, bad: TaskLabels | ValueError
) -> None:
    store, ids = written(tmp_path, 1)
    vlm = ScriptedVLM(lambda call: bad)
    found = label_by_model(store, ids, vlm, CONFIG)
    assert (vlm.asked, len(set(vlm.seeds)), found.labelled, found.unread) == (2, 2, 0, 2)
    assert found.why in ("no JSON", f"{len(getattr(bad, 'labels', []))} labels for 2 tasks, or in another order")
    assert count(store, "taxonomy") == 0
    good = ScriptedVLM(lambda call: said(("human", "navigation"), ("human", "ui")))
    assert label_by_model(store, ids, good, CONFIG).labelled == 2


def test_the_model_is_believed_once_it_has_labelled_everything(tmp_path: Path) -> None:
    store, ids = written(tmp_path, 2)
    label_tasks(store)
    with reading(store) as con:
        assert labeller(con) == "rules/1"
    vlm = ScriptedVLM(lambda call: said(("human", "navigation"), ("human", "ui")))
    label_by_model(store, ids[:1], vlm, CONFIG)
    with reading(store) as con:
        assert labeller(con) == "rules/1"
    label_by_model(store, ids, vlm, CONFIG)
    with reading(store) as con:
        assert labeller(con) == labeller_of("scripted/1")


def test_kappa_by_hand() -> None:
    # Both yes 20, first yes only 5, second yes only 10, both no 15:
    # p_o = 35/50 = .7; p_e = .5 * .6 + .5 * .4 = .5; kappa = .2 / .5 = .4
    one = ["yes"] * 25 + ["no"] * 25
    other = ["yes"] * 20 + ["no"] * 5 + ["yes"] * 10 + ["no"] * 15
    assert cohen_kappa(one, other) == cohen_kappa(other, one) == 0.4
    assert cohen_kappa(one, one) == 1.0
    assert cohen_kappa("abc" * 3, "bca" * 3) == -0.5  # p_o = 0, p_e = 1/3
    assert cohen_kappa("aabb", "abab") == 0.0  # what chance gives
    assert math.isnan(cohen_kappa("aa", "aa")) and math.isnan(cohen_kappa("", ""))
    with pytest.raises(ValueError, match="shorter"):
        cohen_kappa("ab", "a")


def test_agreement_is_taken_over_the_pairs_that_both_labelled(tmp_path: Path) -> None:
    store, _ = registered(tmp_path, 1)
    one = [("p1", "human", "ui"), ("p2", "human", "combat"), ("p3", "animal", "ui"), ("p4", "animal", "combat")]
    other = [("p1", "human", "ui"), ("p2", "animal", "combat"), ("p3", "human", "combat"), ("p5", "animal", "ui")]
    names = ("pair_id", "agent_type", "task_type", "labeller")
    rows = [dict(zip(names, (*row, who), strict=True)) for who, given in (("a", one), ("b", other)) for row in given]
    with writing(store) as con:
        insert(con, "taxonomy", rows)
        agent, task = agreements(con)
    assert (agent.one, agent.other, agent.kind, agent.pairs) == ("a", "b", "agent_type", 3)
    # human human, human animal, animal human: p_o = 1/3, p_e = (2 * 2 + 1 * 1) / 9 = 5/9
    assert agent.same == pytest.approx(1 / 3) and agent.kappa == pytest.approx((1 / 3 - 5 / 9) / (4 / 9))
    # ui ui, combat combat, ui combat: p_o = 2/3, p_e = (2 * 1 + 1 * 2) / 9 = 4/9
    assert task.same == pytest.approx(2 / 3) and task.kappa == pytest.approx((2 / 3 - 4 / 9) / (5 / 9))
