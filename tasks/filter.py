"""The filter stage: files become frames, frames measurements, measurements verdicts."""

import json
from pathlib import Path

from prefect import task

from tasks.bookkeeping import Summary, plain
from tasks.caching import PERSISTED, content_key
from tasks.cores import CORES
from tasks.progress import notes
from tasks.retrying import retried
from tasks.shards import Shard, frame_ids
from wmsd_core.filters import DefectScore, FilterConfig, MeasureConfig, decide, measure_frames, score_against
from wmsd_core.frames import FramesConfig, register
from wmsd_core.workspace import Workspace


@task(name="register frames", **retried(2, 2))
def register_frames(workspace: Path, frames: list[str], config: FramesConfig) -> Summary:
    """Identifies images by content, takes frames of videos, and refuses what is no usable file."""
    place = Workspace(workspace)
    with notes("register frames") as report:
        folders = {"videos": place.video_frames, "fetched": place.fetched}
        return plain(register(place.store, frames, config, **folders, report=report))


@task(name="measure", **retried(2, 2), cache_key_fn=content_key, **PERSISTED)
def measure(workspace: Path, shard: Shard, config: MeasureConfig) -> Summary:
    """Measures the images of a shard."""
    place = Workspace(workspace)
    # As many threads as cores, even where shards run beside each other: the last shard must not leave a core idle.
    return plain(measure_frames(place.store, frame_ids(place, shard), config, threads=CORES))


@task(name="filter verdicts")
def verdicts(workspace: Path, measuring: MeasureConfig, config: FilterConfig) -> Summary:
    """Applies the thresholds to all stored measurements."""
    return plain(decide(Workspace(workspace).store, measuring, config))


def defect_scores(workspace: Path) -> list[DefectScore]:
    """How well planted defects were found, where the images are the miniature's; else nothing."""
    place = Workspace(workspace)
    if not place.truth.is_file():
        return []
    truth = json.loads(place.truth.read_text(encoding="utf-8"))
    return score_against({place.frames / name: kind for name, kind in truth.items()}, place.store)
