"""Which pairs make the benchmark: a draw of a wished number that keeps the proportions of the whole set (paper 4.1.2).

Pairs are taken one at a time. Each time the next one comes from the cell (agent type, task type, source) that brings

    sum over strata k of (b_k - E_k)^2 / max(E_k, 1),    E_k = wished number x share of k in the whole set,

down most, where b_k counts what is taken and the strata are the agent types, the task types, their combinations and the
sources: Pearson's chi-square with its denominators held at 1, so that strata of less than one expected pair, each of
which can only be missed or overdrawn, do not outvote the common ones. For one kind of strata alone this greedy choice is
the exact optimum (the sum is separable and convex). Within a cell, SHA-256 of seed and pair decides.

A look-alike cluster gives at most one frame, so that the items are independent; the rest of it is held out and not used.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

Stratum = tuple[str, str, str]
"""Agent type, task type, source."""


@dataclass(frozen=True)
class Candidate:
    """A pair that may be drawn."""

    pair_id: str
    frame_id: str
    cluster: int
    cell: Stratum


@dataclass(frozen=True)
class Drawn:
    """The benchmark: examined pairs by frame, and why there are no more of them."""

    pairs: dict[str, list[str]]
    short: str = ""


def balanced_draw(
    candidates: Sequence[Candidate],
    counts: Mapping[Stratum, int],
    sizes: Mapping[int, int],
    *,
    wished: int,
    per_frame: int,
    most_frames: int,
) -> Drawn:
    """Takes `wished` pairs from `candidates`, which come in the random order of the draw.

    Args:
        candidates: pairs in the order in which a cell gives them.
        counts: pairs of the whole set in each cell, whose proportions are kept.
        sizes: frames in each cluster; all of them are held out when one is chosen.
        wished: pairs to take.
        per_frame: pairs to take of a chosen frame, as far as it has as many.
        most_frames: frames that may be held out altogether.
    """
    balance = _Balance(counts, wished)
    by_cell: dict[Stratum, list[Candidate]] = defaultdict(list)
    by_frame: dict[str, list[Candidate]] = defaultdict(list)
    for candidate in reversed(candidates):  # the first of each is at the end, where `pop` takes it
        by_cell[candidate.cell].append(candidate)
        by_frame[candidate.frame_id].append(candidate)
    used: set[int] = set()
    chosen: dict[str, list[str]] = {}
    taken, room, crowded = 0, most_frames, False
    while taken < wished and by_cell:
        cell = balance.best(by_cell)
        first = by_cell[cell].pop()
        if not by_cell[cell]:
            del by_cell[cell]
        if first.cluster in used:
            continue
        if sizes[first.cluster] > room:
            crowded = True
            continue
        used.add(first.cluster)
        room -= sizes[first.cluster]
        frame = {candidate.pair_id: candidate.cell for candidate in reversed(by_frame[first.frame_id])}
        picked: list[str] = []
        pair_id = first.pair_id
        while True:
            balance.add(frame.pop(pair_id))
            picked.append(pair_id)
            taken += 1
            if taken == wished or len(picked) == per_frame or not frame:
                break
            best = balance.best(frame.values())
            pair_id = next(other for other, its in frame.items() if its == best)
        chosen[first.frame_id] = picked
    if taken == wished:
        return Drawn(chosen)
    limit = f"at most {most_frames} frames may be held out, raise bench_fraction or add images"
    return Drawn(chosen, limit if crowded else "no further look-alike cluster has a pair to give; add images")


class _Balance:
    """The chi-square above as counts so far, and which cell lowers it most."""

    def __init__(self, counts: Mapping[Stratum, int], wished: int) -> None:
        self.cells = sorted(counts)
        numbers = np.array([counts[cell] for cell in self.cells], float)
        kinds = [
            [cell[0] for cell in self.cells],
            [cell[1] for cell in self.cells],
            [cell[:2] for cell in self.cells],
            [cell[2] for cell in self.cells],
        ]
        expected: list[float] = []
        self.strata = np.empty((len(self.cells), len(kinds)), int)
        for kind, names in enumerate(kinds):
            share: dict[object, float] = defaultdict(float)
            for name, number in zip(names, numbers, strict=True):
                share[name] += wished * number / numbers.sum()
            position = {name: len(expected) + index for index, name in enumerate(share)}
            self.strata[:, kind] = [position[name] for name in names]
            expected += share.values()
        self.expected = np.array(expected)
        self.taken = np.zeros(len(expected))
        self.position = {cell: index for index, cell in enumerate(self.cells)}

    def add(self, cell: Stratum) -> None:
        self.taken[self.strata[self.position[cell]]] += 1

    def best(self, cells: Iterable[Stratum]) -> Stratum:
        """The cell of `cells` whose next pair lowers the sum most; the first in order of name among equals."""
        positions = sorted({self.position[cell] for cell in cells})
        change = (2 * (self.taken - self.expected) + 1) / np.maximum(self.expected, 1)
        return self.cells[positions[int(np.argmin(change[self.strata[positions]].sum(1)))]]
