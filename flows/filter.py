"""Stage: images are measured, and those below the thresholds dropped."""

from pathlib import Path

from prefect import flow, unmapped

from tasks.artifacts import publish_table
from tasks.bookkeeping import Summary, plain, stage_run
from tasks.filter import defect_scores, forget_measurements, measure, register_frames, verdicts
from tasks.runner import shard_runner
from tasks.shards import shards
from wmsd_core.filters import FilterConfig, MeasureConfig
from wmsd_core.frames import FramesConfig
from wmsd_core.workspace import Workspace

SHARD = 2000
"""Images per task run: some seconds of work."""


@flow(name="filter", task_runner=shard_runner())
def filter_frames(
    workspace: Path,
    frames: list[str],
    scan: FramesConfig = FramesConfig(),
    measuring: MeasureConfig = MeasureConfig(),
    thresholds: FilterConfig = FilterConfig(),
    refresh: bool = False,
) -> Summary:
    """Measures images and drops blurred, dark, bright, nearly empty, unreadable and duplicate ones, each with its reason.

    Measurements are kept: with other thresholds the stage reads no image again.

    Args:
        workspace: Folder that receives the store.
        frames: Images and videos, which are only read: folders (searched recursively), files, patterns, manifests.
        scan: What counts as a usable file, and which frames are taken of videos.
        measuring: At which working width images are measured.
        thresholds: What is good enough.
        refresh: Forget earlier measurements and measure again.
    """
    with stage_run(workspace, "filter", {"scan": scan, "measure": measuring, "filter": thresholds}) as summary:
        summary["files"] = register_frames(workspace, frames, scan)
        if refresh:
            forget_measurements(workspace, measuring)
        parts = shards(Workspace(workspace), after=None, size=SHARD)
        measured = measure.with_options(refresh_cache=refresh).map(unmapped(workspace), parts, unmapped(measuring))
        summary["measured"] = sum(part["measured"] for part in measured.result())
        summary |= verdicts(workspace, measuring, thresholds)
        planted = [plain(s) | {"precision": s.precision, "recall": s.recall} for s in defect_scores(workspace)]
        reasons = [{"reason": reason, "frames": n} for reason, n in summary["reasons"].items()]
        publish_table("filter-reasons", reasons, f"filter: {summary['kept']} kept, {summary['dropped']} dropped")
        if planted:
            publish_table("filter-against-truth", planted, "filter: planted defects, and how many were found")
    return summary
