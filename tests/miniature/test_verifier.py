"""The verifier accepts what was rendered right, and refuses each planted fault for the right reason."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from tests.miniature import patient
from tests.miniature.boards import solved, tasks_of
from wmsd_core.arrays import Videos
from wmsd_core.miniature import verifier
from wmsd_core.miniature.drawing import to_uint8
from wmsd_core.miniature.language import Task
from wmsd_core.miniature.motion import film, waypoints

N = 300


@pytest.fixture(scope="module")
def world():
    return solved(N, seed=7)


def passed(videos: Videos, tasks: list[Task]) -> dict[str, float]:
    scores = verifier.assess(verifier.track(videos), tasks)
    return {name: float((getattr(scores, name) > 0).mean()) for name in ("task", "agent", "consistency")}


def test_rendered_truth_passes(world):
    _, plans, _, _, videos = world
    assert passed(videos, tasks_of(plans)) == {"task": 1, "agent": 1, "consistency": 1}


def test_noise_and_compression_do_not_change_the_verdict(world):
    _, plans, _, _, videos = world
    noisy = np.clip(videos + np.random.default_rng(0).normal(0, 5, videos.shape), 0, 255).astype(np.uint8)
    assert min(passed(noisy, tasks_of(plans)).values()) > 0.99


def test_large_videos_are_judged_as_small_ones(world):
    *_, videos = world
    large = videos[:20].repeat(8, axis=2).repeat(8, axis=3)
    assert np.allclose(verifier.track(large).centre, verifier.track(videos[:20]).centre, atol=1e-3)


def test_a_still_video_is_plausible_and_nothing_else(world):
    _, plans, _, _, videos = world
    still = videos[:, :1].repeat(7, axis=1)
    assert passed(still, tasks_of(plans)) == {"task": 0, "agent": 0, "consistency": 1}


def test_the_wrong_agent_is_noticed(world):
    scenes, plans, mover, _, _ = world
    other = 1 - mover
    start = scenes.cells[np.arange(N), other]
    away = waypoints(start, np.where(start > 2, start - 1, start + 1), np.ones(N, dtype=bool))
    assert passed(to_uint8(film(scenes, other, away)), tasks_of(plans))["agent"] == 0


def test_a_wrong_goal_fails_the_task_only(world):
    scenes, _, mover, route, videos = world
    tasks: list[Task] = []
    for row in range(N):
        end = route[row, -1]
        goals = {scenes.name(row, place): scenes.cells[row, place] for place in (2, 3)}
        missed = next(name for name, cell in goals.items() if (cell != end).any())
        tasks.append(Task(scenes.name(row, mover[row]), missed))
    assert passed(videos, tasks) == {"task": 0, "agent": 1, "consistency": 1}


def test_stopping_short_fails_the_task_and_not_the_agent(world):
    scenes, plans, mover, route, _ = world
    far = np.abs(np.diff(route, axis=1)).sum((1, 2)) >= 3
    short = route.copy()
    last = np.where((short[:, 2] != short[:, 1]).any(1), 1, 0)
    rows = np.arange(N)
    back = np.sign(short[rows, last + 1] - short[rows, last])
    short[:, 2] -= back
    short[:, 1] -= np.where((last == 0)[:, None], back, 0)
    result = passed(to_uint8(film(scenes, mover, short))[far], [p.task for p, f in zip(plans, far, strict=True) if f])
    assert result["task"] == 0
    assert result["agent"] == 1


@pytest.fixture(scope="module")
def seen() -> patient.Seen:
    """The small form of `python -m tests.miniature.patient`."""
    return patient.examine(N, seed=3)


@pytest.mark.parametrize("name", patient.SPOILED)
def test_frames_cut_held_or_out_of_order_are_implausible(seen: patient.Seen, name: str):
    assert seen.spoiled[name] < 0.05


def test_right_films_pass_and_fulfil_no_other_task_of_their_board(seen: patient.Seen):
    assert seen.right == {"task": 1, "agent": 1, "consistency": 1}
    assert seen.other_tasks > 8 * N
    assert seen.false_positives == 0


def test_a_cut_leaves_the_end_state(world):
    _, plans, _, _, videos = world
    assert passed(videos[:, [0, 0, 0, 0, 6, 6, 6]], tasks_of(plans)) == {"task": 1, "agent": 1, "consistency": 0}


@pytest.mark.parametrize("opacity", [0.35, 0.6, 1.0])
def test_a_double_in_a_middle_frame_is_implausible(world, opacity: float):
    scenes, plans, mover, route, videos = world
    ghost = to_uint8(film(scenes, mover, np.repeat(route[:, :1], 3, axis=1)))
    double = videos.copy()
    mixed = np.where(np.abs(ghost[:, 4] - videos[:, 4].astype(float)) > 0, ghost[:, 4], videos[:, 4])
    seen = np.abs(videos[:, 4].astype(float) - videos[:, 0]).max(-1, keepdims=True) > 20
    double[:, 4] = np.where(seen, (1 - opacity) * videos[:, 4] + opacity * mixed, videos[:, 4]).astype(np.uint8)
    parted = np.abs(route[:, 2] - route[:, 0]).max(1) >= 3
    tasks = [plan.task for plan, is_parted in zip(plans, parted, strict=True) if is_parted]
    result = passed(double[parted], tasks)
    assert result["consistency"] < 0.02
    assert result["task"] == 1


def test_a_vanishing_object_is_implausible(world):
    scenes, plans, mover, route, videos = world
    for thing in range(4):
        gone = videos.copy()
        for row in range(N):
            column, line = scenes.cells[row, thing] * 4
            if thing < 2 and thing == mover[row]:
                column, line = (route[row, 2] * 4).astype(int)
            gone[row, 5:, line : line + 4, column : column + 4] = (scenes.tone[row] * 255).astype(np.uint8)
        assert passed(gone, tasks_of(plans))["consistency"] < 0.01


def test_an_object_that_appears_is_implausible(world):
    scenes, plans, _, route, videos = world
    more = videos.copy()
    for row in range(N):
        taken = {tuple(cell) for cell in scenes.cells[row]} | {tuple(route[row, 2].astype(int))}
        column, line = next((c, r) for c in range(5) for r in range(5) if (c, r) not in taken)
        more[row, -1, line * 4 + 1 : line * 4 + 3, column * 4 + 1 : column * 4 + 3] = (30, 80, 230)
    assert passed(more, tasks_of(plans))["consistency"] == 0


def test_passing_through_the_other_mover_is_implausible(world):
    scenes, plans, mover, _, _ = world
    rows = np.arange(N)
    start, other = scenes.cells[rows, mover], scenes.cells[rows, 1 - mover]
    end = np.clip(2 * other - start, 0, 4)
    # Through the other's cell on the way to a cell behind it, or onto it.
    route = np.stack([start, other * [1, 0] + start * [0, 1], other], axis=1).astype(np.float32)
    straight = (start == other).any(1)
    route[straight, 2] = end[straight]
    route[straight, 1] = end[straight]
    assert passed(to_uint8(film(scenes, mover, route)), tasks_of(plans))["consistency"] == 0


def test_blur_of_the_end_state_is_no_intact_agent(world):
    _, plans, _, _, videos = world
    blurred = videos.copy()
    for row in range(N):
        blurred[row, -1] = cv2.GaussianBlur(videos[row, -1], (0, 0), 3)
    assert passed(blurred, tasks_of(plans))["task"] < 0.02


def test_what_cannot_be_judged_is_nan_with_a_reason(world):
    _, plans, _, _, videos = world
    board = videos[:4].copy()
    board[2] = 200
    tasks = [None, Task("red square", "left edge"), plans[2].task, plans[3].task]
    scores = verifier.assess(verifier.track(board), tasks)
    assert np.isnan(scores.task).tolist() == [True, True, True, False]
    assert "no task" in scores.reasons[0]
    assert "no red square" in scores.reasons[1]
    assert "no proper board" in scores.reasons[2]
    assert not scores.reasons[3]


def judged_with(world, centre: np.ndarray) -> verifier.Scores:
    """The scores if the movers had been seen at `centre` and nothing else were wrong."""
    _, plans, _, _, videos = world
    return verifier.assess(replace(verifier.track(videos), centre=centre), tasks_of(plans))


def test_jumping_over_the_other_mover_between_two_frames_is_implausible(world):
    centre = np.zeros((N, 7, 2, 2))
    centre[:, :, 0] = (2, 2)
    centre[:, :, 1, 0] = 2 + 1.3 * (np.arange(7) - 2.5)  # no frame shows them nearer than .65 cells
    centre[:, :, 1, 1] = 2
    assert (judged_with(world, centre).consistency < 0).all()
    centre[:, :, 0] = (2, 4)
    assert (judged_with(world, centre).consistency > 0).all()


def test_a_step_longer_or_shorter_than_the_others_is_implausible_and_noise_is_not(world):
    """Mean step .5: steps may differ from it by .1 + .3 x .5 = .25."""
    centre = np.zeros((N, 7, 2, 2))
    centre[:, :, 1] = (0, 4)
    for change, plausible in ((0.2, True), (0.3, False)):
        for first in (0, 4):
            steps = np.full(6, 0.5)
            steps[first] += change
            steps[first + 1] -= change
            centre[:, 1:, 0, 0] = np.cumsum(steps)
            assert ((judged_with(world, centre).consistency > 0) == plausible).all()
    centre[:, 1:, 0, 0] = np.cumsum([0.5, 0.5, 0, 0.5, 0.5, 0.5])  # a rest: none of the others is much too long
    assert (judged_with(world, centre).consistency < 0).all()


def test_going_back_is_implausible_along_either_axis_and_in_either_direction(world):
    """A slow mover: its steps alone are even enough."""
    for axis in (0, 1):
        for direction in (1, -1):
            for back, plausible in ((0.1, True), (0.14, False)):
                centre = np.full((N, 7, 2, 2), 2.0)
                centre[:, :, 1] = (0, 4)
                centre[:, :, 0, axis] += direction * np.array([0, 0.14, 0.28, 0.28 - back, 0.28, 0.42, 0.56])
                assert ((judged_with(world, centre).consistency > 0) == plausible).all()


def test_two_that_move_are_implausible_and_nobody_knows_who_acted(world):
    centre = np.zeros((N, 7, 2, 2))
    centre[:, :, 0, 0] = centre[:, :, 1, 0] = np.linspace(0, 3, 7)
    centre[:, :, 1, 1] = 4
    scores = judged_with(world, centre)
    assert (scores.consistency < 0).all()
    assert (scores.agent < 0).all()
