import numpy as np
import pytest
from pydantic import BaseModel

from tests.miniature.boards import solved
from wmsd_core.arrays import Image
from wmsd_core.miniature import drawing, scene
from wmsd_core.miniature.language import find_task, tokenize
from wmsd_core.miniature.pictures import suitable
from wmsd_core.miniature.planner_settings import PlannerConfig
from wmsd_core.miniature.scene import COLOURS, SIDE
from wmsd_core.miniature.vlm import MiniatureVLM
from wmsd_core.vlm.prompts import messages, question
from wmsd_core.vlm.protocol import Message, Question


class TaskPair(BaseModel):
    task: str
    solution: str


class TaskPairs(BaseModel):
    refused: bool
    reason: str
    pairs: list[TaskPair]


def request(image: Image, count: int) -> list[Message]:
    system, user = messages("generate", count=str(count), wishes="")
    return [system, Message("user", user.text, (image,))]


@pytest.fixture(scope="module")
def image() -> Image:
    return drawing.picture(suitable(np.random.default_rng(0)))


def test_it_writes_as_many_distinct_readable_pairs_as_are_asked_for(image: Image):
    pairs = MiniatureVLM().complete(request(image, 8), TaskPairs, seed=0).pairs
    assert len({pair.task for pair in pairs}) == 8
    found = [find_task(pair.task) for pair in pairs]
    assert len({task.agent for task in found if task}) == 2
    assert {task.goal.endswith("edge") for task in found if task} == {True, False}
    for pair in pairs:
        tokenize(pair.solution)
    assert len(MiniatureVLM().complete(request(image, 3), TaskPairs, seed=0).pairs) == 3


def test_a_solution_is_the_same_whatever_else_is_asked_for(image: Image):
    vlm = MiniatureVLM()
    few = {p.task: p.solution for p in vlm.complete(request(image, 3), TaskPairs, seed=0).pairs}
    many = {p.task: p.solution for p in vlm.complete(request(image, 8), TaskPairs, seed=0).pairs}
    assert few.items() <= many.items()
    other = {p.task: p.solution for p in vlm.complete(request(image, 8), TaskPairs, seed=1).pairs}
    assert other != many


def test_a_picture_without_movers_is_refused_with_a_reason():
    bare = drawing.bare_picture(np.array(scene.TONE))
    answer = MiniatureVLM().complete(request(bare, 8), TaskPairs, seed=0)
    assert answer.refused
    assert not answer.pairs
    assert "0 objects" in answer.reason


def test_requests_it_cannot_meet_are_errors(image: Image):
    class Taxonomy(BaseModel):
        name: str

    with pytest.raises(ValueError, match="not Taxonomy"):
        MiniatureVLM().complete(request(image, 8), Taxonomy, seed=0)
    with pytest.raises(ValueError, match="needs a picture"):
        MiniatureVLM().complete([Message("user", "Write 8 tasks.")], TaskPairs, seed=0)
    with pytest.raises(ValueError, match="less than or equal to 1"):
        PlannerConfig(errors=1.5)


def test_screening_tells_boards_from_other_pictures(image: Image):
    bare = drawing.bare_picture(np.array(scene.TONE))
    answers = MiniatureVLM().log_odds([question("screen")] * 2, [image, bare])
    assert [answer.verdict for answer in answers] == [True, False]


def test_questions_of_several_kinds_about_several_videos_are_answered_in_order():
    _, plans, _, _, videos = solved(6)
    names = ("judge_task", "judge_agent", "judge_consistency")
    still = [video[:1].repeat(7, axis=0) for video in videos]
    asked = [
        (name, plan, media[i]) for i, plan in enumerate(plans) for media in (list(videos), still) for name in names
    ]
    questions = [question(name, task=str(plan.task)) for name, plan, _ in asked]
    answers = MiniatureVLM().log_odds(questions, [medium for *_, medium in asked])
    assert [answer.verdict for answer in answers] == [True, True, True, False, False, True] * 6


def test_judging_again_gives_the_same_and_a_question_may_be_put_the_other_way_round():
    _, plans, _, _, videos = solved(4)
    vlm = MiniatureVLM()
    questions = [question("judge_task", task=str(plan.task)) for plan in plans]
    first = vlm.log_odds(questions, list(videos))
    assert vlm.log_odds(questions, list(videos)) == first
    turned = [Question(q.name, q.version, q.text, "no") for q in questions]
    assert [answer.value for answer in vlm.log_odds(turned, list(videos))] == [-answer.value for answer in first]


def test_it_sees_whether_an_agent_is_there_and_a_goal_still_open():
    scenes = suitable(np.random.default_rng(0))
    image, agent = drawing.picture(scenes), scenes.name(0, 0)
    absent = next(
        f"{colour} circle" for colour in COLOURS if f"{colour} circle" not in [scenes.name(0, i) for i in (0, 1)]
    )
    column, row = scenes.cells[0][0]
    fulfilled = {"left": column == 0, "right": column == SIDE - 1, "top": row == 0, "bottom": row == SIDE - 1}
    assert len(set(fulfilled.values())) == 2  # this board has both
    asked = [
        (question("verify_agent", agent=agent.capitalize()), True),
        (question("verify_agent", agent=absent), False),
        (question("verify_open", task=f"[{agent}]: go to the {scenes.name(0, 2)}."), True),
        *((question("verify_open", task=f"[{agent}]: go to the {e} edge."), not done) for e, done in fulfilled.items()),
    ]
    answers = MiniatureVLM().log_odds([q for q, _ in asked], [image] * len(asked))
    assert [answer.verdict for answer in answers] == [good for _, good in asked]
    lost = MiniatureVLM().log_odds([question("verify_open", task=f"[{absent}]: go to the left edge.")], [image])[0]
    assert not lost.valid and "no task for this board" in lost.reason


def test_what_it_cannot_answer_is_unread_with_a_reason(image: Image):
    _, plans, _, _, videos = solved(1)
    asked = [
        (question("judge_task", task="dance"), videos[0], "no task of the form"),
        (question("judge_task", task=str(plans[0].task)), image, "needs a video"),
        (question("judge_agent", task="[Red square]: go to the left edge."), videos[0], "no task of the form"),
        (question("screen"), videos[0], "needs a picture"),
        (Question("beauty", "1", "Is it beautiful?"), image, "does not know the question 'beauty'"),
    ]
    answers = MiniatureVLM().log_odds([q for q, _, _ in asked], [medium for _, medium, _ in asked])
    for answer, (_, _, reason) in zip(answers, asked, strict=True):
        assert not answer.valid
        assert reason in answer.reason
