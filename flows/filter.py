"""Stage: images are measured, and those below the thresholds dropped."""

from pathlib import Path

from prefect import flow

from tasks.artifacts import publish_table
from tasks.bookkeeping import Summary, counted, nothing_kept, plain, require_done, stage_run
from tasks.caching import in_shards
from tasks.filter import defect_scores, measure, register_frames, verdicts
from tasks.pictures import publish_verdicts
from tasks.rejudging import nearest_thresholds
from tasks.runner import shard_runner
from tasks.shards import shards
from wmsd_core.filters import FilterConfig, MeasureConfig
from wmsd_core.filters.measuring import forget_measurements, unmeasured
from wmsd_core.frames import FramesConfig
from wmsd_core.workspace import Workspace

SHARD = 2000
"""Images per task run: some seconds of work."""


@flow(name="filter", flow_run_name="filter", task_runner=shard_runner())
def filter_frames(
    workspace: Path,
    frames: list[str] | None = None,
    scan: FramesConfig = FramesConfig(),
    measuring: MeasureConfig = MeasureConfig(),
    thresholds: FilterConfig = FilterConfig(),
    *,
    refresh: bool = False,
) -> Summary:
    """Measures images and drops blurred, dark, bright, nearly empty, unreadable and duplicate ones, each with its reason.

    Measurements are kept: with other thresholds the stage reads no image again.

    Args:
        workspace: Folder that receives the store.
        frames: Images and videos, which are only read: folders (searched recursively), files, patterns, manifests. None:
            what is registered, without a look at the files; a new threshold then costs one query.
        scan: What counts as a usable file, and which frames are taken of videos.
        measuring: At which working width images are measured.
        thresholds: What is good enough.
        refresh: Forget earlier measurements and measure again.
    """
    place = Workspace(workspace)
    with stage_run(workspace, "filter", {"scan": scan, "measure": measuring, "filter": thresholds}) as summary:
        if frames:
            summary["files"] = register_frames(workspace, frames, scan)
        if refresh:
            forget_measurements(place.store, measuring)
        lacking = unmeasured(place.store, measuring)
        # Without a look for new files there is no set of them to remember: only what is lacking is a piece of work.
        parts = shards(place, after=None, size=SHARD) if frames or lacking else []
        measured = in_shards(measure, workspace, parts, lacking, measuring)
        summary["measured"] = sum(part["measured"] for part in measured)
        judged = verdicts(workspace, measuring, thresholds)
        summary["measured_before"] = judged["kept"] + judged["dropped"] - summary["measured"]
        summary |= judged
        require_done("filter", judged["reasons"].get("unmeasured", 0), "measurements")
        planted = [plain(s) | {"precision": s.precision, "recall": s.recall} for s in defect_scores(workspace)]
        reasons = [{"reason": reason, "frames": n} for reason, n in summary["reasons"].items()]
        publish_table(
            "filter-reasons",
            reasons,
            f"filter: {summary['kept']} kept, {summary['dropped']} dropped; a frame can have several reasons",
        )
        if planted:
            publish_table("filter-against-truth", planted, "filter: planted defects, and how many were found")
        publish_verdicts(workspace, "filter")
        if not summary["kept"]:
            reasons = counted(summary["reasons"]) or counted(summary.get("files", {}).get("rejected", {}))
            cut = nearest_thresholds(workspace, measuring, thresholds)
            summary |= nothing_kept("filter", reasons or "there is no readable picture", cut)
    return summary
