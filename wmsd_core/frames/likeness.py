"""Which pictures show the same: re-encoded, resized or slightly changed copies.

A signature is the picture averaged to 16x16 RGB; the distance of two is the root mean square difference in levels.
Copies by another JPEG quality or size lie about 1 apart. Unlike the sign bits of a DCT hash it sees colour, and a
single shape moved on a plain board changes it by 15 or more, so boards that differ in one object stay distinct.
"""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from wmsd_core.frames.decode import rgb
from wmsd_core.frames.frame import Frame, find
from wmsd_core.frames.refusal import Refusal, attempt, record
from wmsd_core.store import insert, reading, unseen, writing
from wmsd_core.store.funnel import lacking

SIDE = 16
DIMENSIONS = SIDE * SIDE * 3
BATCH = 1024
SIGNED_BY = "signature/1"
"""What found a file to be damaged, where it was this."""
_DECODED = 4 * SIDE

Signature = Float32[np.ndarray, " D"]
Signatures = UInt8[np.ndarray, "N 768"]
"""As the store holds them, one a row."""


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


def unsigned(store: Path) -> dict[str, int]:
    """How the ids of frames begin that passed the filter and have no signature."""
    with reading(store) as con:
        return lacking(con, "filter", "SELECT frame_id FROM signatures")


def sign_frames(store: Path, frame_ids: Sequence[str], *, threads: int = 1) -> Signed:
    """Makes the signatures that are missing and stores each batch as it is done: each picture is read once.

    A file that turns out to be truncated, missing or changed becomes a rejection of stage `frames`.
    """
    with reading(store) as con:
        todo = find(con, unseen(con, frame_ids, "signatures"))
    unusable = 0
    for found in signed(store, todo, threads):
        refused = [(frame.frame_id, frame.path, look) for frame, look in found if isinstance(look, Refusal)]
        with writing(store) as con:
            record(con, refused, SIGNED_BY)
        unusable += len(refused)
    return Signed(len(todo) - unusable, len(frame_ids) - len(todo), unusable)


def signed(store: Path, frames: Sequence[Frame], threads: int) -> Iterator[list[tuple[Frame, Signature | Refusal]]]:
    """Makes the signatures of frames that have none, and gives them batch by batch when they are stored."""
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


def forget_signatures(store: Path) -> None:
    """Deletes all signatures, so that pictures are read again."""
    with writing(store) as con:
        con.execute("DELETE FROM signatures")


def clusters(count: int, pairs: Iterable[tuple[int, int]]) -> list[list[int]]:
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
