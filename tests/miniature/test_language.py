import pytest

from wmsd_core.miniature.language import LENGTH, WORDS, Task, find_task, solution, tokenize


def words(text: str) -> str:
    return " ".join(WORDS[token] for token in tokenize(text) if token)


def test_fillers_are_dropped_and_order_is_kept():
    assert words("The red circle moves to column 4, then to row 2.") == "red circle column 4 row 2"
    assert words("[Red circle]: go to the blue square.") == "red circle go blue square"
    assert (
        words(solution("red circle", ("column 4", "the row of the blue square")))
        == "red circle column 4 row blue square"
    )


def test_an_empty_text_is_all_padding():
    assert tokenize("").tolist() == [0] * LENGTH


def test_an_unknown_word_is_named():
    with pytest.raises(ValueError, match="'fly'"):
        tokenize("The red circle fly to row 2.")


def test_a_text_that_is_too_long_is_refused():
    with pytest.raises(ValueError, match="up to 8"):
        tokenize("red circle column 1 row 2 column 3 row")


@pytest.mark.parametrize("task", [Task("red circle", "blue square"), Task("black triangle", "left edge")])
def test_a_task_is_found_in_a_longer_text(task: Task):
    assert find_task(f"It was told to act:\n{task}\nIs it so?") == task


@pytest.mark.parametrize(
    "text", ["", "go to the blue square", "[Red square]: go to the left edge.", "[Red circle]: dance."]
)
def test_other_texts_hold_no_task(text: str):
    assert find_task(text) is None
