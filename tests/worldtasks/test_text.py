"""ROUGE-L against values worked out by hand, and against the definition by brute force."""

import itertools
import random

import pytest

from wmsd_core.worldtasks.text import content, longest_common_subsequence, rouge_l, words


@pytest.mark.parametrize(
    ("one", "other", "common", "f"),
    [
        # Lin (2004): "police killed the gunman" with "police kill the gunman" has LCS 3 of 4 and 4, F = 3/4;
        # with "the gunman kill police" LCS 2 of 4 and 4, F = 1/2.
        ("police killed the gunman", "police kill the gunman", 3, 0.75),
        ("police killed the gunman", "the gunman kill police", 2, 0.5),
        ("pick up the red ball", "pick up the blue ball and go", 4, 2 * 4 / (5 + 7)),
        ("walk to the door", "walk to the door", 4, 1.0),
        ("walk to the red door", "walk to the door", 4, 2 * 4 / 9),
        ("walk to the door", "sing", 0, 0.0),
        ("a b a b", "b a b a", 3, 0.75),
        ("", "walk", 0, 0.0),
        ("", "", 0, 0.0),
    ],
)
def test_rouge_l_by_hand(one: str, other: str, common: int, f: float) -> None:
    a, b = words(one), words(other)
    assert longest_common_subsequence(a, b) == longest_common_subsequence(b, a) == common
    assert rouge_l(a, b) == rouge_l(b, a) == f


def table(one: list[str], other: list[str]) -> int:
    """Longest common subsequence by its textbook recursion."""
    row = [0] * (len(other) + 1)
    for word in one:
        before = row
        row = [0]
        for index, its in enumerate(other):
            row.append(before[index] + 1 if word == its else max(before[index + 1], row[index]))
    return row[-1]


def test_of_long_texts_it_is_that_of_the_table() -> None:
    """Longer than a machine word has bits."""
    draw = random.Random(0)
    for _ in range(100):
        one, other = ([draw.choice("abcde") for _ in range(draw.randrange(200))] for _ in range(2))
        assert longest_common_subsequence(one, other) == table(one, other)


def test_the_longest_common_subsequence_is_that_of_all_subsequences() -> None:
    draw = random.Random(0)
    for _ in range(30):
        one, other = ([draw.choice("abc") for _ in range(draw.randrange(8))] for _ in range(2))
        shared = {
            sub for n in range(len(one) + 1) for sub in itertools.combinations(one, n) if sub in _subsequences(other)
        }
        assert longest_common_subsequence(one, other) == max(map(len, shared))


def _subsequences(sequence: list[str]) -> set[tuple[str, ...]]:
    return {sub for n in range(len(sequence) + 1) for sub in itertools.combinations(sequence, n)}


def test_content_leaves_function_words_and_possessives_out() -> None:
    assert content("Align the car's front bumper with the first-person marker.") == [
        *("align", "car", "front", "bumper", "first", "person", "marker")
    ]
