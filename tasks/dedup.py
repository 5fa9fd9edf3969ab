"""The dedup stage: a signature per frame, and of frames that show the same, one."""

from pathlib import Path

from prefect import task

from tasks.bookkeeping import Summary, plain
from tasks.caching import PERSISTED, content_key
from tasks.retrying import retried
from tasks.shards import Shard, frame_ids
from wmsd_core.filters import MeasureConfig
from wmsd_core.frames.dedup import DedupConfig, drop_near_duplicates
from wmsd_core.frames.likeness import sign_frames
from wmsd_core.workspace import Workspace


@task(name="sign", **retried(2, 2), cache_key_fn=content_key, **PERSISTED)
def sign(workspace: Path, shard: Shard) -> Summary:
    """Makes the signatures of a shard."""
    place = Workspace(workspace)
    return plain(sign_frames(place.store, frame_ids(place, shard)))


@task(name="dedup verdicts")
def verdicts(workspace: Path, measuring: MeasureConfig, config: DedupConfig) -> Summary:
    """Keeps one of each group of near-duplicates."""
    return plain(drop_near_duplicates(Workspace(workspace).store, measuring.digest(), config))
