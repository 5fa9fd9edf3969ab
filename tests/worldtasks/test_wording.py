"""ROUGE-L against the table of dynamic programming; the index against comparing each with each."""

import random

import pytest

from wmsd_core.worldtasks.wording import Index, common, rouge_l


def table(one: list[str], other: list[str]) -> int:
    """Longest common subsequence by its textbook recursion."""
    row = [0] * (len(other) + 1)
    for word in one:
        before = row
        row = [0]
        for index, its in enumerate(other):
            row.append(before[index] + 1 if word == its else max(before[index + 1], row[index]))
    return row[-1]


def test_the_common_subsequence_is_that_of_the_table() -> None:
    rng = random.Random(0)
    for _ in range(300):
        one, other = ([rng.choice("abcde") for _ in range(rng.randrange(70))] for _ in range(2))
        assert common(one, other) == table(one, other)


def test_rouge_by_hand() -> None:
    assert rouge_l(["walk", "to", "the", "red", "door"], ["walk", "to", "the", "door"]) == pytest.approx(2 * 4 / 9)
    assert rouge_l(["a", "b"], ["b", "a"]) == pytest.approx(0.5)
    assert rouge_l([], []) == 0


@pytest.mark.parametrize("least", [0.5, 0.7, 0.9, 1.0])
def test_the_index_finds_what_comparing_each_with_each_finds(least: float) -> None:
    rng = random.Random(1)
    vocabulary = [f"w{n}" for n in range(60)]
    originals = [[rng.choice(vocabulary) for _ in range(rng.randrange(1, 30))] for _ in range(120)]
    queries = [[w for w in rng.choice(originals) if rng.random() > 0.12 * (n % 4)] for n in range(200)]
    index = Index(originals, least)
    found = {(n, i) for n, query in enumerate(queries) for i, _ in index.alike(query)}
    expected = {
        (n, i)
        for n, query in enumerate(queries)
        for i, text in enumerate(originals)
        if query and 2 * table(text, query) / (len(text) + len(query)) >= least
    }
    assert len(expected) > 30
    assert found == expected
