"""Many slow calls at a time, their results as they come: bounded memory, and nothing that was answered is lost."""

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

BATCH = 64
"""Most results that are stored in one transaction."""
SECONDS = 1.0
"""Longest time that results are held back to be stored together: what a kill may cost."""


def as_they_come(
    function: Callable[[Item], Result], items: Iterable[Item], under_way: int
) -> Iterator[tuple[Item, Result]]:
    """Items with their results, in order of completion; `under_way` calls run at a time.

    If a call raises, no other is begun; those under way end and are given out, and then the error is raised.
    """
    source = iter(items)
    waiting: dict[Future[Result], Item] = {}
    failure: BaseException | None = None
    with ThreadPoolExecutor(under_way) as pool:
        while True:
            if failure is None:
                # As many again stand in line, so that a thread need not wait while results are being stored.
                for item in islice(source, 2 * under_way - len(waiting)):
                    waiting[pool.submit(function, item)] = item
            else:
                waiting = {future: item for future, item in waiting.items() if not future.cancel()}
            if not waiting:
                break
            finished, _ = wait(waiting, return_when=FIRST_COMPLETED)
            for future in [future for future in waiting if future in finished]:
                item = waiting.pop(future)
                if (error := future.exception()) is None:
                    yield item, future.result()
                elif failure is None:
                    failure = error
    if failure is not None:
        raise failure


def gathered(results: Iterable[Item]) -> Iterator[list[Item]]:
    """Results in lists of at most `BATCH`, none held back for much longer than `SECONDS`.

    What came before an error of `results` is given out before the error is raised.
    """
    held: list[Item] = []
    since = time.monotonic()
    failure: Exception | None = None
    try:
        for result in results:
            held.append(result)
            if len(held) == BATCH or time.monotonic() - since >= SECONDS:
                yield held
                held, since = [], time.monotonic()
    except Exception as error:
        failure = error
    if held:
        yield held
    if failure is not None:
        raise failure
