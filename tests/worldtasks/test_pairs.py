"""The form "[Agent]: Task"."""

import pytest

from wmsd_core.instruction import parse
from wmsd_core.worldtasks.pairs import Malformed, TaskPair, TaskPairs
from wmsd_core.worldtasks.text import words


def test_whitespace_is_normalised() -> None:
    parsed = parse("  [Man  in blue]:Walk\n to the door. ")
    assert parsed is not None
    assert parsed.task == "[Man in blue]: Walk to the door."


@pytest.mark.parametrize(
    "task",
    ["Man: Walk.", "[Man] Walk.", "[]: Walk.", "[Man]:", "[Man]: ...", "1. [Man]: Walk.", "[Man [left]]: Walk."],
)
def test_another_form_is_none(task: str) -> None:
    assert parse(task) is None


def test_texts_in_other_scripts_have_words() -> None:
    assert words("走 到 门 口") == ["走", "到", "门", "口"]
    assert parse("[男 人]: 走 到 门 口") is not None


def test_a_pair_from_elsewhere_needs_task_and_solution_only() -> None:
    pair = TaskPair(task="[Man]: Walk.", solution="He walks.")
    assert (pair.agent_type, pair.task_type, pair.agent_visible, pair.end_state) == (None, None, True, "")


def test_the_kinds_are_written_before_the_task() -> None:
    # A server that is held to a schema writes properties in its order.
    properties = list(TaskPair.model_json_schema()["properties"])
    assert properties == ["agent_type", "agent_visible", "task_type", "task", "end_state", "solution"]


GOOD = {"task": "[Man]: Walk.", "solution": "He walks."}


@pytest.mark.parametrize("value", [5, None, "?", [], {}, 10**30, float("nan")])
@pytest.mark.parametrize("name", ["refused", "reason", "agent_visible", "end_state", "agent_type", "more"])
def test_a_wrong_type_of_what_need_not_be_there_costs_no_pair(name: str, value: object) -> None:
    odd = {name: value}
    said = {"pairs": [GOOD | odd]} if name in TaskPair.model_fields else {"pairs": [GOOD], **odd}
    answer = TaskPairs.model_validate(said)
    assert [(pair.task, pair.solution) for pair in answer.pairs] == [tuple(GOOD.values())] and not answer.refused
    assert not isinstance(answer.pairs[0], Malformed)


@pytest.mark.parametrize(
    "said", [{}, {"refused": 10**14}, {"refused": False, "pairs": None}, {"answer": {"pairs": [GOOD]}}]
)
def test_an_answer_that_says_nothing_is_none(said: object) -> None:
    with pytest.raises(ValueError, match="neither pairs nor a refusal"):
        TaskPairs.model_validate(said)
