"""Does the benchmark hold anything that was trained on? Looked up in what was made, not in how it was meant to be."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from wmsd_core.frames import Refusal, find
from wmsd_core.frames.likeness import Signature, near_pairs, signatures
from wmsd_core.store import reading
from wmsd_core.worldtasks.examples import Example, examples
from wmsd_core.worldtasks.splits import SplitConfig


@dataclass(frozen=True)
class Leak:
    """Something of the training set in the benchmark: the same frame, a picture of the same, or the same pair."""

    kind: Literal["frame", "picture", "pair"]
    train: str
    bench: str
    detail: str


def find_leaks(store: Path, cfg: SplitConfig, *, threads: int = 1) -> list[Leak]:
    """Every leak between the training and the benchmark examples of the store. Pictures are compared by their pixels.

    Raises:
        ValueError: a picture cannot be read, so that the check would be incomplete.
    """
    with reading(store) as con:
        train, bench = examples(con, "train"), examples(con, "bench")
        frames = find(con, sorted({example.frame_id for example in (*train, *bench)}))
    looks: dict[str, Signature] = {}
    for frame, look in zip(frames, signatures(store, frames, threads), strict=True):
        if isinstance(look, Refusal):
            raise ValueError(
                f"cannot check for leaks: {frame.path} is {look}. Run the filter stage again, which drops it"
            )
        looks[frame.frame_id] = look
    return leaks_between(train, bench, looks, near=cfg.near)


def leaks_between(
    train: Sequence[Example], bench: Sequence[Example], looks: Mapping[str, Signature], *, near: float
) -> list[Leak]:
    """Leaks between two sets of examples. `looks` has the signature of every frame; `near` is in levels."""
    train_frames = {example.frame_id for example in train}
    bench_frames = {example.frame_id for example in bench}
    both = sorted(train_frames & bench_frames)
    leaks = [Leak("frame", frame_id, frame_id, "the same frame is in both") for frame_id in both]
    tasks = {example.pair_id: example.task for example in bench}
    shared = sorted(tasks.keys() & {example.pair_id for example in train})
    leaks += [Leak("pair", pair_id, pair_id, tasks[pair_id]) for pair_id in shared]
    ids = sorted(looks)
    for one, other in near_pairs(np.stack([looks[frame_id] for frame_id in ids]), near) if ids else []:
        distance = float(np.sqrt(np.square(looks[ids[one]] - looks[ids[other]]).mean()))
        for first, second in ((ids[one], ids[other]), (ids[other], ids[one])):
            if first in train_frames and second in bench_frames:
                leaks.append(Leak("picture", first, second, f"{distance:.2f} levels apart, the limit is {near:g}"))
    return leaks
