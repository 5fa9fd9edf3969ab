"""Stage: of frames that show the same, one is kept."""

from pathlib import Path

from prefect import flow

from tasks.artifacts import publish_table
from tasks.bookkeeping import Summary, nothing_kept, require_done, stage_run
from tasks.caching import in_shards, now_and_before
from tasks.dedup import sign, verdicts
from tasks.pictures import publish_verdicts
from tasks.runner import shard_runner
from tasks.shards import shards
from wmsd_core.filters import MeasureConfig
from wmsd_core.frames.dedup import DedupConfig
from wmsd_core.frames.likeness import forget_signatures, unsigned
from wmsd_core.workspace import Workspace

SHARD = 2000
"""Images per task run."""


@flow(name="dedup", flow_run_name="dedup", task_runner=shard_runner())
def dedup(
    workspace: Path,
    measuring: MeasureConfig = MeasureConfig(),
    config: DedupConfig = DedupConfig(),
    *,
    refresh: bool = False,
) -> Summary:
    """Finds frames that show the same (other sizes, qualities, neighbouring moments of a video) and keeps the best of them.

    Args:
        workspace: Folder with the store.
        measuring: Which measurements say what frame is sharper.
        config: How near is too near.
        refresh: Forget earlier signatures and read the images again.
    """
    place = Workspace(workspace)
    with stage_run(workspace, "dedup", {"measure": measuring, "dedup": config}) as summary:
        if refresh:
            forget_signatures(place.store)
        parts = shards(place, after="filter", size=SHARD)
        done = in_shards(sign, workspace, parts, unsigned(place.store))
        summary |= now_and_before("signed", done, parts)
        summary |= verdicts(workspace, measuring, config)
        require_done("dedup", summary["unsigned"], "signatures")
        publish_table(
            "dedup", [summary], f"dedup: {summary['kept']} kept, {summary['near_duplicates']} near-duplicates"
        )
        publish_verdicts(workspace, "dedup")
        if not summary["kept"]:
            summary |= nothing_kept("dedup", "no frame passed the filter", "run the filter first, or loosen it")
    return summary
