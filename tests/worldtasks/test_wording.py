"""The index against comparing each with each."""

import random

import pytest

from tests.worldtasks.test_text import table
from wmsd_core.worldtasks.wording import Index


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
