"""Which tasks are rolled out when: whole groups, an explicit cursor, no state but that."""

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import torch

from wmsd_core import seeds


class Slot(NamedTuple):
    """One group of rollouts."""

    position: int
    """Place in the endless stream of groups of this run. Seeds follow from it, so an example that returns is new."""
    example: int


@dataclass
class GroupSampler:
    """Walks through all `examples` in a new order every epoch, `per_step` of them at a time.

    The stream of examples is a function of the seed alone; `cursor` is how many groups have been handed out, over all
    ranks. Rank r of `world` gets its contiguous share of every step, so a group is never split and its advantages need
    no communication.
    """

    examples: int
    per_step: int
    seed: int
    rank: int = 0
    world: int = 1
    cursor: int = 0

    def __post_init__(self) -> None:
        if not self.examples:
            raise ValueError("there are no examples to train on: examples.jsonl is empty")
        if self.per_step % self.world:
            raise ValueError(f"{self.world} processes cannot share {self.per_step} tasks per step: use a multiple")

    def next(self) -> list[Slot]:
        """This rank's groups of the next step."""
        share = self.per_step // self.world
        start = self.cursor + self.rank * share
        self.cursor += self.per_step
        return [Slot(position, self._example(position)) for position in range(start, start + share)]

    def _example(self, position: int) -> int:
        epoch, place = divmod(position, self.examples)
        return _order(self.examples, self.seed, epoch)[place]


@lru_cache(maxsize=2)
def _order(examples: int, seed: int, epoch: int) -> list[int]:
    generator = torch.Generator().manual_seed(seeds.derive(seed, "epoch", index=epoch))
    return torch.randperm(examples, generator=generator).tolist()
