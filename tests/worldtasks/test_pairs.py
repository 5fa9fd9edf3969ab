"""The checks on a pair: the published ones pass, each planted fault is named."""

import json
from pathlib import Path

import pytest

from wmsd_core.worldtasks.pairs import Limits, TaskPair, parse, sift

LIMITS = Limits(count=8, task_words=30, solution_words=200)
SAMPLES = Path(__file__).parents[2].parent / "shared" / "reference" / "worldtasks_samples.json"
SOLUTION = "The man turns to his left, walks along the wall for five steps and reaches for the handle."


def pairs_of(*texts: tuple[str, str]) -> list[TaskPair]:
    return [TaskPair(task=task, solution=solution) for task, solution in texts]


@pytest.mark.parametrize(
    ("task", "solution", "reason"),
    [
        ("Man: Walk to the door.", SOLUTION, "form"),
        ("[Man] Walk to the door.", SOLUTION, "form"),
        ("[]: Walk to the door.", SOLUTION, "form"),
        ("[Man]:", SOLUTION, "form"),
        ("[Man]: ...", SOLUTION, "form"),
        ("Task 1: [Man]: Walk to the door.", SOLUTION, "form"),
        ("[Man [left]]: Walk to the door.", SOLUTION, "form"),
        ("[Man]: Walk to the door.", " \n", "empty_solution"),
        ("[Man]: Walk to the door.", "...", "empty_solution"),
        ("[Man]: Walk to the door.", "He does.", "not_detailed"),
        ("[Man]: Walk " + "on and " * 15 + "on.", SOLUTION, "task_too_long"),
        ("[Man]: Walk to the door.", "step " * 201, "solution_too_long"),
        ("[Man]: " + SOLUTION, SOLUTION, "gives_steps_away"),
        ("[Man]: Do this: " + SOLUTION, SOLUTION.upper(), "gives_steps_away"),
        ("[Man]: Walks along the wall for five steps and reaches.", SOLUTION, "gives_steps_away"),
    ],
)
def test_a_planted_fault_is_named(task: str, solution: str, reason: str) -> None:
    accepted, rejected = sift(pairs_of((task, solution)), LIMITS)
    assert accepted == []
    assert [pair.reason for pair in rejected] == [reason]


def test_limits_are_inclusive() -> None:
    task = "[Man]: " + "go " * 30
    assert len(sift(pairs_of((task, "word " * 200)), LIMITS)[0]) == 1
    assert len(sift(pairs_of((task + "on", "word " * 200)), LIMITS)[0]) == 0
    assert len(sift(pairs_of((task, "word " * 201)), LIMITS)[0]) == 0


def test_the_same_task_twice_is_kept_once_and_a_surplus_cut_off() -> None:
    texts = [
        ("[Man]: Walk to the door.", SOLUTION),
        ("[man]:  walk to the DOOR", SOLUTION),
        ("[Woman]: Walk to the door.", SOLUTION),
        ("[Dog]: Walk to the door.", SOLUTION),
    ]
    accepted, rejected = sift(pairs_of(*texts), Limits(2, 30, 200))
    assert [pair.parsed.agent for pair in accepted] == ["Man", "Woman"]
    assert [(pair.position, pair.reason) for pair in rejected] == [(1, "repeated"), (3, "surplus")]


def test_whitespace_is_normalised() -> None:
    parsed = parse("  [Man  in blue]:Walk\n to the door. ")
    assert parsed is not None
    assert parsed.task == "[Man in blue]: Walk to the door."


def test_texts_in_other_scripts_have_words() -> None:
    accepted, _ = sift(pairs_of(("[男 人]: 走 到 门 口", "他 转 身 沿 着 墙 走 过 去 停 下")), LIMITS)
    assert len(accepted) == 1


def test_the_miniature_texts_pass() -> None:
    text = "The red circle moves to column 4."
    assert len(sift(pairs_of(("[Red circle]: go to the blue square.", text)), LIMITS)[0]) == 1
    assert len(sift(pairs_of(("[Red circle]: go to the left edge.", text)), LIMITS)[0]) == 1


@pytest.mark.skipif(not SAMPLES.is_file(), reason="the published samples are not at hand")
def test_published_pairs_pass() -> None:
    for sample in json.loads(SAMPLES.read_text())["dataset_samples"]:
        accepted, rejected = sift([TaskPair(**pair) for pair in sample["pairs"]], LIMITS)
        assert (len(accepted), rejected) == (2, [])
        assert [pair.parsed.task for pair in accepted] == [pair["task"] for pair in sample["pairs"]]
