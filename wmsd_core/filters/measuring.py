"""Measures registered frames and stores the figures: the only part of the filter stage that reads images."""

import json
import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import duckdb
from pydantic import Field

from wmsd_core.config import Config
from wmsd_core.filters.measurement import measure
from wmsd_core.filters.outside import outside
from wmsd_core.filters.overlay import detector, overlay
from wmsd_core.frames import Frame, Refusal, find
from wmsd_core.frames.decode import grey_at_width
from wmsd_core.frames.refusal import attempt, record
from wmsd_core.store import insert, reading, unseen, writing
from wmsd_core.store.funnel import lacking

ORIGIN = "filter: "
"""Before a threshold's reason, where the table `verdicts` says what the verdicts by it were made from."""
BATCH, CHUNK = 1000, 20
"""Frames that are stored together, and that a thread takes at once: opening the store costs as much as measuring six
frames, and handing one over a twentieth of measuring it."""


class MeasureConfig(Config):
    """How frames are measured. Thresholds are not among it: they may change without a frame being measured again."""

    revision: ClassVar[int] = 4

    working_width: int = Field(default=640, ge=16)
    """Pixels. Wider frames are scaled down to this width first, since sharpness is comparable at one width only. Narrower ones
    stay as they are: enlarged, they would all read as blurred."""
    overlay: bool = False
    """Also measure how much of the picture lines of text take (filter.max_overlay), with `pip install 'wmsd[ocr]'`: about .2 s
    of CPU time a picture, fifty times what the rest costs."""
    extra: tuple[str, ...] = ()
    """Measurements from outside, each as `package.module:factory`: see CONTRIBUTING. With `--refresh` they are made anew."""


@dataclass(frozen=True)
class Measured:
    """Frames measured now, measured before under the same configuration, and found unusable when decoded."""

    measured: int
    before: int
    unusable: int


def unmeasured(store: Path, config: MeasureConfig) -> dict[str, int]:
    """How the ids of readable frames begin that this configuration has not measured."""
    with reading(store) as con:
        done = "SELECT frame_id FROM measurements WHERE config_hash = $config_hash"
        return lacking(con, None, done, config_hash=config.digest())


def forget_measurements(store: Path, config: MeasureConfig) -> None:
    """Deletes what was measured with these settings, so that it is measured again."""
    with writing(store) as con:
        con.execute("DELETE FROM measurements WHERE config_hash = ?", [config.digest()])
        forget_origins(con)


def forget_origins(con: duckdb.DuckDBPyConnection) -> None:
    """Forgets what the verdicts by each threshold were made from: all of them are made again."""
    con.execute("DELETE FROM verdicts WHERE starts_with(stage, ?)", [ORIGIN])


def measure_frames(store: Path, frame_ids: Sequence[str], config: MeasureConfig, *, threads: int = 1) -> Measured:
    """Measures those of `frame_ids` that this configuration has not measured yet, and stores each batch as it is done.

    A file that turns out to be truncated, missing or changed becomes a rejection of stage `frames`.

    Raises:
        ValueError: a measurement from outside, or the detector of text, cannot be loaded.
    """
    if config.overlay:
        detector()  # before any picture: that it is not installed is no picture's fault
    config_hash = config.digest()
    made_by = {"config_hash": config_hash, "working_width": config.working_width}
    others = outside(config.extra)

    def measured(frame: Frame) -> dict[str, object]:
        grey = grey_at_width(frame, config.working_width)
        found = dict(vars(measure(grey)))  # asdict would copy each figure, for a hundredth of what measuring costs
        if config.overlay:
            found["overlay"] = overlay(grey)
        if others:
            figures = {other.name: float(other.measure(grey)) for other in others}
            found["extra"] = json.dumps({name: figure for name, figure in figures.items() if math.isfinite(figure)})
        return found

    def measured_all(frames: Sequence[Frame]) -> list[tuple[Frame, dict[str, object] | Refusal]]:
        return [(frame, attempt(measured, frame)) for frame in frames]

    with reading(store) as con:
        todo = find(con, unseen(con, frame_ids, "measurements", config_hash=config_hash))
    unusable = 0
    with ThreadPoolExecutor(threads) as pool:

        def begin(start: int) -> Iterator[list[tuple[Frame, dict[str, object] | Refusal]]]:
            return pool.map(
                measured_all, (todo[i : i + CHUNK] for i in range(start, min(start + BATCH, len(todo)), CHUNK))
            )

        ahead = begin(0)
        for start in range(0, len(todo), BATCH):
            results = [result for chunk in ahead for result in chunk]
            ahead = begin(start + BATCH)  # the threads go on while this batch is stored
            refused = [(f.frame_id, f.path, result) for f, result in results if isinstance(result, Refusal)]
            figures = [
                {"frame_id": f.frame_id, **made_by, **result}
                for f, result in results
                if not isinstance(result, Refusal)
            ]
            with writing(store) as con:
                insert(con, "measurements", figures)
                record(con, refused, config_hash)
            unusable += len(refused)
    return Measured(len(todo) - unusable, len(frame_ids) - len(todo), unusable)
