import re
from collections import Counter

import numpy as np

from tests.miniature.boards import solved
from wmsd_core.miniature import planner, scene
from wmsd_core.miniature.language import EDGE_AXIS, EDGE_CELL, EDGES, tokenize


def all_plans(count: int) -> list[tuple[scene.Scenes, int, planner.Plan]]:
    scenes = scene.sample(np.random.default_rng(0), count)
    return [(scenes, row, plan) for row in range(count) for plan in planner.plans(scenes, row)]


def test_plans_reach_the_goal_on_a_free_way():
    for scenes, row, plan in all_plans(150):
        cells = planner.route(plan.start, plan.legs)
        assert plan.other not in cells
        assert 1 <= len(plan.legs) <= 2
        goal = plan.task.goal
        if goal.endswith("edge"):
            edge = EDGES.index(goal.removesuffix(" edge"))
            assert cells[-1][EDGE_AXIS[edge]] == EDGE_CELL[edge] != plan.start[EDGE_AXIS[edge]]
        else:
            names = [scenes.name(row, thing) for thing in range(4)]
            assert cells[-1] == tuple(scenes.cells[row, names.index(goal)])


def test_sideways_comes_first_unless_the_other_mover_is_in_the_way():
    for _, _, plan in all_plans(150):
        if len(plan.legs) == 2 and plan.legs[0].axis == 1:
            straight = planner.route(plan.start, plan.legs[::-1])
            assert plan.other in straight or plan.other in planner.route(plan.start, plan.legs[1:])


def test_the_share_of_errors_is_the_stated_one_and_every_kind_occurs():
    _, plans, *_ = solved(3000)
    errors = [planner.write(plan, error_rate=0.25, seed=i).error for i, plan in enumerate(plans)]
    spread = 3.3 * (0.25 * 0.75 / len(plans)) ** 0.5
    assert abs(sum(map(bool, errors)) / len(plans) - 0.25) < spread
    kinds = Counter(filter(None, errors))
    assert set(kinds) == set(planner.ERRORS)
    assert min(kinds.values()) > 40


def test_an_error_is_a_different_readable_text_and_no_error_is_the_plan():
    _, plans, *_ = solved(500)
    for i, plan in enumerate(plans):
        right = planner.write(plan, error_rate=0, seed=i)
        wrong = planner.write(plan, error_rate=1, seed=i)
        assert not right.error
        assert wrong.error
        assert right.text != wrong.text
        tokenize(wrong.text)
        assert not re.search(r"(column|row) [^1-5]", wrong.text)


def test_a_solution_depends_on_its_seed_only():
    _, plans, *_ = solved(20)
    forward = [planner.write(plan, error_rate=0.5, seed=i) for i, plan in enumerate(plans)]
    backward = [planner.write(plans[i], error_rate=0.5, seed=i) for i in reversed(range(20))]
    assert forward == backward[::-1]


def test_errors_by_kind_of_task_are_the_same_for_the_kind_and_spare_the_others():
    _, plans, *_ = solved(4000)
    for share in (0.1, 0.25, 0.5):
        wrong: dict[str, set[bool]] = {}
        for plan in plans:
            written = planner.write(plan, error_rate=share, seed=0, by_kind=True)
            assert written == planner.write(plan, error_rate=share, seed=1, by_kind=True)
            wrong.setdefault(planner.kind(plan.task), set()).add(bool(written.error))
        assert len(wrong) == 20
        assert sorted(map(sorted, wrong.values())) == [[False]] * round(20 - 20 * share) + [[True]] * round(20 * share)
    # A kind errs in one way where it can, and in its next one where it cannot.
    mistakes: dict[str, Counter[str]] = {kind: Counter() for kind in wrong}
    for plan in plans:
        mistakes[planner.kind(plan.task)][planner.write(plan, error_rate=1, seed=0, by_kind=True).error] += 1
    assert all(count.most_common(1)[0][1] > 0.4 * count.total() for count in mistakes.values())
    assert len({count.most_common(1)[0][0] for count in mistakes.values()}) > 2
