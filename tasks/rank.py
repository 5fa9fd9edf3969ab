"""The rank stage: a quality score per frame, and the best of each source."""

from pathlib import Path

from prefect import task

from tasks.bookkeeping import Summary, plain
from tasks.caching import PERSISTED, content_key
from tasks.retrying import retried
from tasks.shards import Shard, frame_ids
from wmsd_core.filters import MeasureConfig
from wmsd_core.ranking import RankConfig, keep_top, score_frames
from wmsd_core.ranking.laion import LaionAesthetic
from wmsd_core.workspace import Workspace


@task(name="score", **retried(2, 2), cache_key_fn=content_key, **PERSISTED)
def score(workspace: Path, shard: Shard, scorer: str, aesthetic: LaionAesthetic | None) -> Summary:
    """Scores the images of a shard. `scorer` names the content of the weights, for the cache."""
    place = Workspace(workspace)
    return plain(score_frames(place.store, frame_ids(place, shard), aesthetic))


@task(name="rank verdicts")
def verdicts(workspace: Path, measuring: MeasureConfig, config: RankConfig) -> Summary:
    """Keeps the top fraction."""
    return plain(keep_top(Workspace(workspace).store, measuring, config))
