"""The checks on a pair: the published ones pass, each planted fault is named."""

import json
from collections import Counter

import pytest

from tests.reference import REFERENCE
from wmsd_core.worldtasks import GenerateConfig
from wmsd_core.worldtasks.checks import CHECKS, Limits, sift
from wmsd_core.worldtasks.pairs import TaskPair

LIMITS = Limits(count=8, task_words=30, solution_words=200, least_solution_words=12)
SAMPLES = REFERENCE / "worldtasks_samples.json"
TASK = "[Man in blue shirt]: Walk to the wooden door."
SOLUTION = (
    "The man in the blue shirt turns to his left, walks along the wall with steady steps and reaches for the handle, "
    "then stands still before the frame."
)


def pairs_of(*texts: tuple[str, str]) -> list[TaskPair]:
    return [TaskPair(task=task, solution=solution) for task, solution in texts]


PLANTED = [
    # form
    ("Man: Walk to the door.", SOLUTION, "form"),
    ("[Man] Walk to the door.", SOLUTION, "form"),
    ("[]: Walk to the door.", SOLUTION, "form"),
    ("[Man]:", SOLUTION, "form"),
    ("[Man]: ...", SOLUTION, "form"),
    ("Task 1: [Man]: Walk to the door.", SOLUTION, "form"),
    ("[Man [left]]: Walk to the door.", SOLUTION, "form"),
    ("Walk to the door.", SOLUTION, "form"),
    # nothing, debris, another language
    (TASK, " \n", "empty_solution"),
    (TASK, "...", "empty_solution"),
    (TASK, SOLUTION.replace("wall", "wa\ufffdl"), "garbled"),
    (TASK, SOLUTION.replace("left", "leftâ€™"), "garbled"),
    (TASK, "**Solution** " + SOLUTION, "garbled"),
    (TASK, '{"text": "' + SOLUTION, "garbled"),
    (TASK, SOLUTION.replace("wall", "wall <br/>"), "garbled"),
    ("[Man in blue shirt]: Walk to the\u200b door.", SOLUTION, "garbled"),
    ("[男 人]: 走 到 门 口。", "他 转 身 沿 着 墙 走 过 去 停 下 然 后 伸 手 去 拉 门 把 手。", "language"),
    ("[Mann]: Geh zur Holztür.", "Der Mann dreht sich nach links, geht langsam die Wand entlang und greift zur Klinke, "
     "danach bleibt er ruhig vor der Tür stehen.", "language"),
    # what is written in place of a task
    (TASK, "I'm sorry, but I cannot assist with describing how the man in the blue shirt moves to the door.", "refusal"),
    (TASK, "As an AI language model I do not see the man in the blue shirt well enough to tell of his way.", "refusal"),
    ("[Man]: N/A.", SOLUTION, "refusal"),
    ("[Man]: There is no suitable task.", SOLUTION, "refusal"),
    ("[Agent description]: Walk to the door.", SOLUTION, "placeholder"),
    ("[Agent 1]: Walk to the door.", SOLUTION, "placeholder"),
    (TASK, "TODO: the man in the blue shirt walks along the wall and reaches for the handle of the door.", "placeholder"),
    (TASK, SOLUTION + " The task is then complete.", "mentions_the_prompt"),
    (TASK, "In this image, the man in the blue shirt turns to his left and walks along the wall.", "mentions_the_prompt"),
    (TASK, "The video begins with the man in the blue shirt, who turns and walks along the wall.", "mentions_the_prompt"),
    (TASK, SOLUTION + " He does so as instructed.", "mentions_the_prompt"),
    # cut off
    (TASK, SOLUTION[:-20], "truncated"),
    (TASK, SOLUTION.rstrip(".") + ",", "truncated"),
    ("[Man in blue shirt]: Walk to the", SOLUTION, "truncated"),
    ("[Man in blue shirt]: Walk to the door and", SOLUTION, "truncated"),
    ("[Man in blue shirt]: Walk to...", SOLUTION, "truncated"),
    # the agent
    ("[Man off-screen]: Walk to the wooden door.", SOLUTION, "agent_invisible"),
    ("[Man who is not visible]: Walk to the wooden door.", SOLUTION, "agent_invisible"),
    ("[Someone]: Walk to the wooden door.", SOLUTION, "vague_agent"),
    ("[He]: Walk to the wooden door.", SOLUTION, "vague_agent"),
    ("[Man or woman]: Walk to the wooden door.", SOLUTION, "vague_agent"),
    ("[Woman with hat]: Walk to the wooden door.", SOLUTION, "other_agent"),
    ("[Brown dog]: Walk to the wooden door.", SOLUTION, "other_agent"),
    ("[Red car]: Move to the wooden door.", SOLUTION, "other_agent"),
    ("[Batman]: Walk to the wooden door.", SOLUTION, "other_agent"),
    ("[Man in blue shirt]: Walk to the wooden door.", "Walk along the wall with steady steps, reach for the handle, then "
     "stand still before the frame of the door.", "other_agent"),
    # the task
    ("[Man in blue shirt]: The man walks to the door.", SOLUTION, "not_an_instruction"),
    ("[Man in blue shirt]: What is behind the door?", SOLUTION, "not_an_instruction"),
    ("[Man in blue shirt]: He walks to the door.", SOLUTION, "not_an_instruction"),
    ("[Man in blue shirt]: Walk " + "far far " * 15 + "away.", SOLUTION, "task_too_long"),
    ("[Man in blue shirt]: Do something with the door.", SOLUTION, "vague_task"),
    ("[Man in blue shirt]: Walk to the door or the window.", SOLUTION, "vague_task"),
    ("[Man in blue shirt]: Walk somewhere.", SOLUTION, "vague_task"),
    ("[Man in blue shirt]: Open the door if possible.", SOLUTION, "vague_task"),
    ("[Man in blue shirt]: Interact with the environment.", SOLUTION, "vague_task"),
    ("[Man in blue shirt]: Stay where the door is.", SOLUTION, "already_satisfied"),
    ("[Man in blue shirt]: Remain beside the wall.", SOLUTION, "already_satisfied"),
    ("[Man in blue shirt]: Stand still.", SOLUTION, "already_satisfied"),
    ("[Man in blue shirt]: Walk to the door. Open it.", SOLUTION, "several_tasks"),
    ("[Man in blue shirt]: Walk to the door, [Woman]: sit.", SOLUTION, "several_tasks"),
    # steps in the task
    ("[Man in blue shirt]: Reach the door by walking along the wall.", SOLUTION, "gives_steps_away"),
    ("[Man in blue shirt]: First turn left, then go to the door.", SOLUTION, "gives_steps_away"),
    ("[Man in blue shirt]: Turn left, walk to the door and open it.", SOLUTION, "gives_steps_away"),
    ("[Man in blue shirt]: Turn around; reach the door.", SOLUTION, "gives_steps_away"),
    ("[Man in blue shirt]: Turn left and after that reach the door.", SOLUTION, "gives_steps_away"),
    ("[Man in blue shirt]: Turns to his left, walks along the wall with steady steps and reaches for the handle.", SOLUTION,
     "gives_steps_away"),
    # the solution
    (TASK, "The man in the blue shirt " + " ".join(f"walks to the stone {n}," for n in range(50)) + " and stops.",
     "solution_too_long"),
    (TASK, "The man in the blue shirt walks and walks and walks and walks and walks and walks.", "repetitive"),
    (TASK, "The man does.", "not_detailed"),
    (TASK, "The man in the blue shirt walks to the door slowly.", "not_detailed"),
    ("[Man]: Pass along the long wall and reach the wooden door at the far end.",
     "He passes along the long old wall and then reaches the big wooden door at the end.", "copied"),
]  # fmt: skip


@pytest.mark.parametrize(("task", "solution", "reason"), PLANTED)
def test_a_planted_fault_is_named(task: str, solution: str, reason: str) -> None:
    accepted, rejected = sift(pairs_of((task, solution)), LIMITS)
    assert accepted == []
    assert [(pair.reason, pair.task, pair.solution) for pair in rejected] == [(reason, task, solution)]
    assert rejected[0].detail


def test_faults_of_every_kind_are_planted() -> None:
    planted = Counter(reason for _, _, reason in PLANTED)
    assert set(planted) == {reason for reason, _ in CHECKS} - {"repeated", "similar"} | {
        "form"
    }  # those two need company
    assert len(PLANTED) >= 60


def test_an_agent_that_the_writer_itself_does_not_see_is_turned_down() -> None:
    _, rejected = sift([TaskPair(task=TASK, solution=SOLUTION, agent_visible=False)], LIMITS)
    assert [pair.reason for pair in rejected] == ["agent_invisible"]


@pytest.mark.parametrize(
    ("task", "solution"),
    [
        (TASK, SOLUTION),
        ("[Person in blue shirt]: Walk to the wooden door.", SOLUTION),
        ("[Batman]: Walk to the wooden door.", SOLUTION.replace("The man in the blue shirt", "Batman")),
        ("[Man]: Open the door, then walk through it.", SOLUTION),
        ("[First-person view]: Look at the picture frame.", SOLUTION),
        ("[Red sports car]: Stop before the man.", SOLUTION.replace("The man in the blue shirt", "The car")),
        ("[Group of tourists]: Walk to the fountain.", SOLUTION.replace("The man in the blue shirt", "One tourist")),
        ("[Two pedestrians]: Cross the road.", SOLUTION.replace("The man in the blue shirt", "Each pedestrian")),
        ("[Woman's dog]: Sit beside the door.", SOLUTION.replace("The man in the blue shirt", "The dog")),
        ("[Old knight]: Raise the sword towards the orc.", SOLUTION.replace("The man in the blue shirt", "He")),
    ],
)
def test_good_pairs_pass(task: str, solution: str) -> None:
    accepted, rejected = sift(pairs_of((task, solution)), LIMITS)
    assert (len(accepted), rejected) == (1, [])


def test_limits_are_inclusive() -> None:
    task = "[Man]: " + " ".join(f"pass stone{n}" for n in range(15)) + "."
    longest = " ".join(["He walks to the"] + [f"stone{n} and to the" for n in range(49)]) + "."
    assert len(sift(pairs_of((task, longest)), LIMITS)[0]) == 1
    assert sift(pairs_of((task[:-1] + " now.", longest)), LIMITS)[1][0].reason == "task_too_long"
    assert sift(pairs_of((task, longest[:-1] + " now.")), LIMITS)[1][0].reason == "solution_too_long"
    shortest = "He walks along the wall to the left of the lamp."
    limits = Limits(8, 30, 200, least_solution_words=11)
    assert len(sift(pairs_of(("[Man]: Go to the lamp.", shortest)), limits)[0]) == 1
    assert (
        sift(pairs_of(("[Man]: Go to the lamp.", shortest.replace("wall ", ""))), limits)[1][0].reason == "not_detailed"
    )


def told(agent: str) -> str:
    return f"The {agent} turns to the left, walks along the wall with steady steps and then stops before the handle."


def test_the_same_task_twice_is_kept_once_and_a_surplus_cut_off() -> None:
    texts = [
        ("[Man]: Walk to the door.", told("man")),
        ("[man]:  walk to the DOOR.", told("man")),
        ("[Woman]: Walk to the door.", told("woman")),
        ("[Dog]: Walk to the door.", told("dog")),
    ]
    accepted, rejected = sift(pairs_of(*texts), Limits(2, 30, 200))
    assert [pair.parsed.agent for pair in accepted] == ["Man", "Woman"]
    assert [(pair.position, pair.reason) for pair in rejected] == [(1, "repeated"), (3, "surplus")]


@pytest.mark.parametrize(
    ("second", "alike"),
    [
        ("Pick up the red ball beside the chair.", True),  # the same verb and object
        ("Walk over and pick up the red ball.", True),  # pick red ball, of 4 and 4 words that carry meaning: .75
        ("Pick up the green ball on the table.", True),  # pick ball table, of 4 and 4
        ("Pick up the green ball.", False),  # pick ball, of 4 and 3: .57
        ("Kick the red ball.", False),
        ("Sit down at the table.", False),
    ],
)
def test_tasks_of_one_agent_are_distinct(second: str, alike: bool) -> None:
    first = "Pick up the red ball on the table."
    _, rejected = sift(pairs_of(("[Man]: " + first, told("man")), ("[Man]: " + second, told("man"))), LIMITS)
    assert [pair.reason for pair in rejected] == (["similar"] if alike else [])
    _, rejected = sift(pairs_of(("[Man]: " + first, told("man")), ("[Woman]: " + second, told("woman"))), LIMITS)
    assert rejected == []


def test_first_person_views_are_one_agent_however_they_are_written() -> None:
    texts = [
        ("[First-person view]: Open the door.", told("door")),
        ("[First person]: Open the door now.", told("door")),
    ]
    assert [pair.reason for pair in sift(pairs_of(*texts), LIMITS)[1]] == ["similar"]


def test_the_miniature_texts_pass() -> None:
    goals = ("left edge", "right edge", "blue square", "black square")
    texts = [(f"[Red circle]: go to the {goal}.", "The red circle moves to column 4.") for goal in goals]
    assert len(sift(pairs_of(*texts), Limits(8, 30, 200))[0]) == 4


def test_a_fault_can_be_tolerated_by_name() -> None:
    bad = pairs_of(("[Woman]: Walk to the wooden door.", SOLUTION))
    assert len(sift(bad, GenerateConfig().limits())[1]) == 1
    assert len(sift(bad, GenerateConfig(tolerate=("other_agent",)).limits())[0]) == 1
    with pytest.raises(ValueError, match="no fault named othr; there are: garbled"):
        GenerateConfig(tolerate=("othr",))


@pytest.mark.skipif(not SAMPLES.is_file(), reason="the published samples are not at hand")
def test_published_pairs_pass() -> None:
    seen = 0
    for sample in json.loads(SAMPLES.read_text())["dataset_samples"]:
        accepted, rejected = sift([TaskPair(**pair) for pair in sample["pairs"]], Limits(8, 30, 200, 20))
        assert (len(accepted), rejected) == (2, [])
        assert [pair.parsed.task for pair in accepted] == [pair["task"] for pair in sample["pairs"]]
        seen += len(accepted)
    assert seen == 8


@pytest.mark.skipif(not SAMPLES.is_file(), reason="the published samples are not at hand")
def test_published_benchmark_tasks_pass() -> None:
    for sample in json.loads(SAMPLES.read_text())["benchmark_samples"]:
        _, rejected = sift(pairs_of((sample["task"], told("player"))), LIMITS)
        assert rejected == []
