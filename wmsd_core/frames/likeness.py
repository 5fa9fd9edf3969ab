"""Which pictures show the same: re-encoded, resized or slightly changed copies.

A signature is the picture averaged to 16x16 RGB; the distance of two is the root mean square difference in levels.
Copies by another JPEG quality or size lie about 1 apart. Unlike the sign bits of a DCT hash it sees colour, and a
single shape moved on a plain board changes it by 15 or more, so boards that differ in one object stay distinct.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float32

from wmsd_core.frames.decode import rgb
from wmsd_core.frames.frame import Frame, find
from wmsd_core.frames.refusal import Refusal, attempt, record
from wmsd_core.store import insert, reading, unseen, writing

SIDE = 16
DIMENSIONS = SIDE * SIDE * 3
BATCH = 1024
SIGNED_BY = "signature/1"
"""What found a file to be damaged, where it was this."""
_DECODED = 4 * SIDE
_BLOCK = 512

Signature = Float32[np.ndarray, " D"]
Signatures = Float32[np.ndarray, "N D"]


def signature(frame: Frame) -> Signature:
    """The frame averaged to 16x16 RGB, float32 [768] in whole levels 0 to 255.

    Raises:
        Refusal: the file is missing, changed, truncated or undecodable.
    """
    small = rgb(frame, _DECODED).astype(np.float32)
    return np.rint(cv2.resize(small, (SIDE, SIDE), interpolation=cv2.INTER_AREA).reshape(-1))


@dataclass(frozen=True)
class Signed:
    """Frames whose signature was made now, was there before, and found unusable when decoded."""

    signed: int
    before: int
    unusable: int


def sign_frames(store: Path, frame_ids: Sequence[str], *, threads: int = 1) -> Signed:
    """Makes the signatures that are missing and stores each batch as it is done: each picture is read once.

    A file that turns out to be truncated, missing or changed becomes a rejection of stage `frames`.
    """
    with reading(store) as con:
        todo = find(con, unseen(con, frame_ids, "signatures"))
    unusable = 0
    for found in _signed(store, todo, threads):
        refused = [(frame.frame_id, frame.path, look) for frame, look in found if isinstance(look, Refusal)]
        with writing(store) as con:
            record(con, refused, SIGNED_BY)
        unusable += len(refused)
    return Signed(len(todo) - unusable, len(frame_ids) - len(todo), unusable)


def signatures(store: Path, frames: Sequence[Frame], threads: int) -> list[Signature | Refusal]:
    """The signature of each frame, or why it has none. They are kept in the store: each picture is read once."""
    ids = [frame.frame_id for frame in frames]
    with reading(store) as con:
        rows = con.execute(
            "SELECT frame_id, levels FROM signatures WHERE frame_id IN (SELECT unnest(?))", [ids]
        ).fetchall()
    known: dict[str, Signature | Refusal] = {
        frame_id: np.frombuffer(levels, np.uint8).astype(np.float32) for frame_id, levels in rows
    }
    todo = [frame for frame in frames if frame.frame_id not in known]
    for found in _signed(store, todo, threads):
        known |= {frame.frame_id: look for frame, look in found}
    return [known[frame_id] for frame_id in ids]


def _signed(store: Path, frames: Sequence[Frame], threads: int) -> Iterator[list[tuple[Frame, Signature | Refusal]]]:
    """Signatures made and stored, batch by batch."""
    with ThreadPoolExecutor(threads) as pool:
        for start in range(0, len(frames), BATCH):
            part = frames[start : start + BATCH]
            found = list(zip(part, pool.map(partial(attempt, signature), part), strict=True))
            made = [
                {"frame_id": frame.frame_id, "levels": look.astype(np.uint8).tobytes()}
                for frame, look in found
                if not isinstance(look, Refusal)
            ]
            with writing(store) as con:
                insert(con, "signatures", made)
            yield found


def near_pairs(all_: Signatures, radius: float) -> list[tuple[int, int]]:
    """Every i < j whose signatures are at most `radius` levels apart.

    Exact: the difference of two means is never greater than the distance, so each picture is compared with those of
    similar brightness only.
    """
    order = np.argsort(all_.mean(1), kind="stable")
    sorted_ = all_[order].astype(np.float64)  # squares cancel below
    mean = sorted_.mean(1)
    square = np.square(sorted_).sum(1)
    pairs: list[tuple[int, int]] = []
    for start in range(0, len(all_), _BLOCK):
        stop = min(start + _BLOCK, len(all_))
        brightest = float(mean[stop - 1])
        last = int(np.count_nonzero(mean <= brightest + radius + 1e-3))  # the margin is for rounding
        product: np.ndarray = sorted_[start:stop] @ sorted_[start:last].T
        distance: np.ndarray = square[start:stop, None] + square[None, start:last] - 2 * product
        near = np.triu(distance <= radius**2 * all_.shape[1], k=1)
        for row, column in np.argwhere(near).tolist():
            one, other = int(order[start + row]), int(order[start + column])
            pairs.append((min(one, other), max(one, other)))
    return pairs


def clusters(count: int, pairs: Sequence[tuple[int, int]]) -> list[list[int]]:
    """The connected components of `count` items under `pairs`, each in ascending order, in order of their smallest."""
    parent = list(range(count))

    def root(item: int) -> int:
        while parent[item] != item:
            parent[item] = item = parent[parent[item]]
        return item

    for one, other in pairs:
        low, high = sorted((root(one), root(other)))
        parent[high] = low
    members: dict[int, list[int]] = {}
    for item in range(count):
        members.setdefault(root(item), []).append(item)
    return list(members.values())
