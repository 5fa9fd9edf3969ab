"""Training or benchmark: decided by image, by nothing but the image's identity, and once.

A frame's own SHA-256 decides, so that no rerun with other thresholds moves a frame across. Frames that show nearly the
same (`likeness`) go together, by the smallest id among them. Every registered frame takes part, whatever later stages
think of it, and a frame that has a split keeps it as long as the configuration is the same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import Field

from wmsd_core.config import Config
from wmsd_core.frames import Refusal, find
from wmsd_core.frames.likeness import clusters, near_pairs, signatures
from wmsd_core.frames.refusal import record
from wmsd_core.seeds import derive
from wmsd_core.store import insert, reading, writing
from wmsd_core.store.funnel import survivors


class SplitConfig(Config):
    """How frames are divided."""

    bench_fraction: float = Field(default=0.1, ge=0, le=1)
    """Share of frames, in expectation, that is held out for the benchmark."""
    seed: int = 0
    """Run seed of the draw."""
    near: float = Field(default=4.0, ge=0)
    """Pictures at most this many levels apart, as root mean square over 16x16 RGB, count as the same."""


@dataclass(frozen=True)
class Split:
    """Frames of the whole store after the division."""

    train: int
    bench: int
    apart: int
    """Frames that resemble one of each split, because they came later; they belong to neither."""
    grouped: int
    """Frames that share their split with a frame that shows nearly the same."""


def own_split(frame_id: str, cfg: SplitConfig) -> str:
    """ "bench" with probability `bench_fraction`, from the frame's identity alone."""
    return "bench" if derive(cfg.seed, "split", frame_id) / 2**63 < cfg.bench_fraction else "train"


def assign_splits(store: Path, cfg: SplitConfig, *, threads: int = 1) -> Split:
    """Gives every readable frame of the store its split. Reads those it has not seen, at about 2 ms for a JPEG.

    Another configuration divides everything afresh.
    """
    config_hash = cfg.digest()
    with reading(store) as con:
        frames = find(con, survivors(con, after="frames"))
        rows = con.execute("SELECT frame_id, split FROM splits WHERE config_hash = ?", [config_hash]).fetchall()
    seen = list(zip(frames, signatures(store, frames, threads), strict=True))
    refused = [(frame.frame_id, frame.path, found) for frame, found in seen if isinstance(found, Refusal)]
    readable = [(frame.frame_id, found) for frame, found in seen if not isinstance(found, Refusal)]
    ids = [frame_id for frame_id, _ in readable]
    pairs = near_pairs(np.stack([found for _, found in readable]), cfg.near) if readable else []
    groups = [[ids[item] for item in group] for group in clusters(len(ids), pairs)]
    decided, apart = _decide(groups, dict(rows), cfg)
    with writing(store) as con:
        con.execute("DELETE FROM splits WHERE config_hash <> ?", [config_hash])
        made = [
            {"frame_id": frame_id, "split": split, "config_hash": config_hash} for frame_id, split in decided.items()
        ]
        insert(con, "splits", made)
        record(con, refused, config_hash)
        counts = dict(con.execute("SELECT split, count(*) FROM splits GROUP BY split").fetchall())
    grouped = sum(len(group) for group in groups if len(group) > 1)
    return Split(counts.get("train", 0), counts.get("bench", 0), apart, grouped)


def _decide(groups: Sequence[Sequence[str]], before: Mapping[str, str], cfg: SplitConfig) -> tuple[dict[str, str], int]:
    """The splits of frames that have none yet, and how many resemble both sides and so get none."""
    decided: dict[str, str] = {}
    apart = 0
    for group in groups:
        taken = {before[frame_id] for frame_id in group if frame_id in before}
        new = [frame_id for frame_id in group if frame_id not in before]
        if len(taken) > 1:
            apart += len(new)
        else:
            split = taken.pop() if taken else own_split(min(group), cfg)
            decided.update(dict.fromkeys(new, split))
    return decided, apart
