"""Thresholds from the data: a given share of the frames is to be kept, and no measurement is to do all the dropping.

One number k is chosen for all thresholds on what is seen: each is put where it alone would drop k frames (fewer where
values are equal). With k the frames kept by all of them together can only fall, so the greatest k that still keeps the
wanted share is found by bisection. Thresholds on size, shape, bars and text, and those
from outside, are rules, not matters of degree: they stay.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wmsd_core.filters.measuring import MeasureConfig
from wmsd_core.filters.thresholds import USABLE, measured_by, thresholds
from wmsd_core.filters.verdict import FilterConfig
from wmsd_core.store import reading

DIGITS = 4


@dataclass(frozen=True)
class Proposal:
    """A threshold, and how many frames it alone drops."""

    setting: str
    value: float
    drops: int


@dataclass(frozen=True)
class Calibration:
    """Proposed thresholds, and what they would keep of the frames that were measured."""

    frames: int
    kept: int
    proposals: list[Proposal]
    ruled_out: int
    """Frames that the thresholds on size, shape, bars and text drop already."""


def calibrate(store: Path, measuring: MeasureConfig, config: FilterConfig, keep: float) -> Calibration:
    """Proposes thresholds that keep at least the share `keep` of the measured frames, and hardly more. Changes nothing.

    Raises:
        ValueError: `keep` is no share, nothing is measured, or size, shape, bars and text alone drop too many.
        StoreError: there is no store.
    """
    if not 0 < keep <= 1:
        raise ValueError(f"the share to keep is a number above 0 and at most 1, not {keep:g}")
    acting = thresholds(measuring.extra)
    chosen = [t for t in acting if t.of_the_picture]
    ruling = [t for t in acting if not t.of_the_picture]
    rules = " OR ".join(t.dropped for t in ruling)
    columns = ", ".join(f"{t.column} AS {t.setting}" for t in chosen)
    limits = config.limits(acting)
    parameters = {t.setting: limits[t.setting] for t in ruling}
    with reading(store) as con:
        table = con.execute(
            f"SELECT {columns}, ({rules}) AS ruled_out FROM ({USABLE}) WHERE sharpness IS NOT NULL",
            measured_by(measuring) | parameters,
        ).fetchnumpy()
    # As if every threshold were a least value: what is to be large stays, what is to be small is negated.
    values = np.stack([np.asarray(table[t.setting], float) * (1 if t.least else -1) for t in chosen])
    ruled_out = np.asarray(table["ruled_out"], bool)
    frames = len(ruled_out)
    if not frames:
        raise ValueError("nothing is measured with these settings yet; run the filter stage first")
    needed = math.ceil(keep * frames - 1e-9)
    if frames - ruled_out.sum() < needed:
        raise ValueError(
            f"size, shape, bars and text alone drop {ruled_out.sum()} of {frames} frames; keep less, or change "
            "filter.min_side, filter.max_aspect, filter.max_bars or filter.max_overlay"
        )
    ordered = np.sort(values, axis=1)

    def kept(least: np.ndarray) -> int:
        return int(((values >= least[:, None]).all(axis=0) & ~ruled_out).sum())

    low, high = 0, frames  # low keeps enough, high does not: at `frames` nothing would be left
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if kept(ordered[:, middle]) >= needed else (low, middle)
    least = np.array([_rounded_down(value) for value in ordered[:, low]])
    proposals = [
        Proposal(t.setting, float(bound if t.least else -bound) + 0.0, int((own < bound).sum()))
        for t, bound, own in zip(chosen, least, values, strict=True)
    ]
    return Calibration(frames, kept(least), proposals, int(ruled_out.sum()))


def _rounded_down(value: float) -> float:
    """To a few digits, so that it can be read and pasted; down, so that no frame is lost by it."""
    if value == 0:
        return 0.0
    step = 10.0 ** (math.floor(math.log10(abs(value))) - DIGITS + 1)
    return float(f"{math.floor(value / step) * step:.{DIGITS}g}")
