import pytest

from yardsticks.judges import JUDGES, told_apart


@pytest.mark.parametrize("judge", JUDGES)
def test_a_judge_that_tells_nothing_makes_no_arm_better(judge: str):
    """The small form of `python -m yardsticks.judges`: of 20 repetitions, more than 4 would be p = .003 for a rate of 5 %."""
    assert told_apart(JUDGES[judge], pictures=50, repetitions=20, seed=0) <= 4


def test_an_arm_that_is_better_is_called_so_by_a_judge_that_sees_it():
    assert told_apart(JUDGES["honest"], pictures=25, repetitions=10, seed=0, executor=0.7) == 10
