"""The small form of `yardsticks/fuzz.py`: whatever comes in ends nothing, and has one fate."""

from pathlib import Path

import pytest

from tests import fuzz


@pytest.mark.parametrize(("kind", "count"), [("videos", 8), ("lines", 100), ("replies", 30)])
def test_whatever_comes_in_ends_nothing_and_has_one_fate(tmp_path: Path, kind: str, count: int) -> None:
    fates = fuzz.KINDS[kind](tmp_path / "round", count, 1)
    assert fates.total() == count and len(fates) > 1
