"""Seconds spent in each stage of a step, and the most memory of a GPU that it held."""

import time
from collections import defaultdict
from collections.abc import Generator
from contextlib import contextmanager

import torch

GIB = 2**30


class Stopwatch:
    """`with watch("rollout"): ...` adds to `watch.seconds["rollout"]`.

    A stage inside another is counted once, as its own, so that all stages add up to the step. A GPU is waited for at
    every boundary: work that was merely queued would be booked on whoever waits for it. `watch.memory["rollout"]` is
    the most GiB of it that tensors took meanwhile; without a GPU there is none.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.memory: dict[str, float] = defaultdict(float)
        self._stages: list[str] = []
        self._since = 0.0
        self._began = time.process_time()

    @property
    def cpu_seconds(self) -> float:
        """Processor time of this process since the watch was made, whatever stage it was in."""
        return time.process_time() - self._began

    @contextmanager
    def __call__(self, stage: str) -> Generator[None]:
        self._book()
        self._stages.append(stage)
        try:
            yield
        finally:
            self._book()
            self._stages.pop()

    def _book(self) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
            if self._stages:
                stage = self._stages[-1]
                self.memory[stage] = max(self.memory[stage], torch.cuda.max_memory_allocated() / GIB)
            torch.cuda.reset_peak_memory_stats()
        now = time.perf_counter()
        if self._stages:
            self.seconds[self._stages[-1]] += now - self._since
        self._since = now
