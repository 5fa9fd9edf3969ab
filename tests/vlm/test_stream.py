"""Slow calls together: order of completion, bounded work ahead, and what an error leaves."""

import threading
from collections.abc import Iterator

import pytest

from wmsd_core.vlm import stream
from wmsd_core.vlm.stream import as_they_come, gathered


def test_results_come_in_order_of_completion() -> None:
    gate = threading.Event()

    def call(item: int) -> int:
        if item == 0:
            assert gate.wait(20)
        return item * item

    found = as_they_come(call, range(3), 2)
    assert {next(found), next(found)} == {(1, 1), (2, 4)}
    gate.set()
    assert list(found) == [(0, 0)]


def test_items_are_taken_only_a_little_ahead() -> None:
    taken: list[int] = []

    def source() -> Iterator[int]:
        for item in range(1000):
            taken.append(item)
            yield item

    results = as_they_come(lambda item: item, source(), 3)
    for done, _ in enumerate(results, start=1):
        assert len(taken) <= done + 2 * 3
    assert len(taken) == 1000


def test_after_an_error_what_was_under_way_is_given_out_and_nothing_new_begun() -> None:
    begun: list[int] = []
    both = threading.Barrier(2, timeout=20)
    failed = threading.Event()

    def call(item: int) -> int:
        begun.append(item)
        if item < 2:
            both.wait()
        if item == 0:
            failed.set()
            raise ConnectionError("gone")
        assert failed.wait(20)
        return item

    found: list[tuple[int, int]] = []
    with pytest.raises(ConnectionError, match="gone"):
        for pair in as_they_come(call, range(100), 2):
            found.append(pair)
    assert (1, 1) in found
    assert sorted(begun) == [0, *(item for item, _ in sorted(found))]
    assert len(begun) < 10


def test_results_are_gathered_in_batches_and_given_out_before_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "SECONDS", 3600)

    def results(last: int) -> Iterator[int]:
        yield from range(last)
        raise ConnectionError

    batches = gathered(results(2 * stream.BATCH + 3))
    assert [len(next(batches)) for _ in range(3)] == [stream.BATCH, stream.BATCH, 3]
    with pytest.raises(ConnectionError):
        next(batches)
    monkeypatch.setattr(stream, "SECONDS", 0.0)
    assert list(gathered(range(3))) == [[0], [1], [2]]
