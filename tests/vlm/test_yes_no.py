"""Log-odds from listed log-probabilities, against float64 softmaxes."""

import math

import numpy as np
import pytest

from wmsd_core.vlm.yes_no import ABSENT, Labels, log_odds

EXACT = Labels(frozenset({"a", "b"}), frozenset({"c"}), exact=True)


def softmax_log(logits: list[float]) -> list[float]:
    values = np.array(logits, dtype=np.float64)
    return list(values - np.log(np.exp(values).sum()))


@pytest.mark.parametrize("other", [-3.0, 2.0])
def test_the_value_does_not_depend_on_what_else_might_be_said_and_the_mass_does(other: float) -> None:
    a, b, c, _ = softmax_log([1.0, 0.5, 0.25, other])
    found = log_odds({"a": a, "b": b, "c": c}, EXACT, good="yes", least_mass=0)
    assert found.value == pytest.approx(math.log(math.exp(1.0) + math.exp(0.5)) - 0.25, abs=1e-12)
    assert found.mass == pytest.approx(1 - math.exp(softmax_log([1.0, 0.5, 0.25, other])[3]), abs=1e-12)
    assert found.reason == ""


def test_equal_beliefs_are_zero() -> None:
    labels = Labels(frozenset({"a"}), frozenset({"c"}), exact=True)
    assert log_odds({"a": math.log(0.4), "c": math.log(0.4)}, labels, good="yes", least_mass=0.5).value == 0


def test_what_the_model_did_not_want_to_answer_is_not_read() -> None:
    listed = {"a": math.log(0.2), "b": math.log(0.1), "c": math.log(0.19)}
    assert not log_odds(listed, EXACT, good="yes", least_mass=0.5, said="Well").valid
    assert "'Well'" in log_odds(listed, EXACT, good="yes", least_mass=0.5, said="Well").reason
    assert log_odds(listed, EXACT, good="yes", least_mass=0.48).valid


def test_a_missing_side_gives_a_bound_that_the_truth_keeps() -> None:
    truth = softmax_log([4.0, 1.0, 0.5, 0.2, -1.0])  # yes, three others, no
    listed = {"yes": truth[0], "x": truth[1], "y": truth[2]}
    found = log_odds(listed, Labels.by_spelling(listed), good="yes", least_mass=0.5)
    assert 0 < found.value <= truth[0] - truth[4]
    rest = math.log(1 - math.exp(truth[0]) - math.exp(truth[1]) - math.exp(truth[2]))
    assert found.value == pytest.approx(truth[0] - min(truth[2], rest))
    assert "'no' is not among" in found.reason
    turned = log_odds(listed, Labels.by_spelling(listed), good="no", least_mass=0.5)
    assert turned.value == -found.value


def test_in_a_list_of_labels_only_the_rest_bounds_a_missing_one() -> None:
    labels = Labels(frozenset({"a"}), frozenset({"c"}), exact=True)
    found = log_odds({"a": math.log(0.9), "c": ABSENT}, labels, good="yes", least_mass=0.5)
    assert found.value == pytest.approx(math.log(0.9 / 0.1))


def test_a_bound_that_does_not_decide_is_not_read() -> None:
    found = log_odds({"yes": -2.0, "x": -2.1}, Labels.by_spelling(["yes", "x"]), good="yes", least_mass=0.0)
    assert found.valid  # no is at most as likely as x
    found = log_odds({"a": -2.0}, Labels(frozenset({"a"}), frozenset({"c"}), exact=True), good="yes", least_mass=0.0)
    assert not found.valid  # no may be anything up to 1 - exp(-2)


def test_absent_on_both_sides_and_no_number_are_not_read() -> None:
    assert not log_odds({"a": ABSENT, "c": ABSENT}, EXACT, good="yes", least_mass=0).valid
    assert not log_odds({"a": math.nan, "c": -1.0}, EXACT, good="yes", least_mass=0).valid
    assert not log_odds({}, EXACT, good="yes", least_mass=0).valid


def test_a_certain_answer_stays_finite() -> None:
    found = log_odds({"a": 0.0, "c": ABSENT}, EXACT, good="yes", least_mass=0.5)
    assert math.isfinite(found.value)
    assert found.value > 13
