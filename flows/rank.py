"""Stage: frames are ranked, and the best fraction kept."""

from pathlib import Path

from prefect import flow

from tasks.artifacts import publish_table
from tasks.bookkeeping import Summary, nothing_kept, require_done, stage_run
from tasks.caching import in_shards, now_and_before
from tasks.pictures import publish_verdicts
from tasks.rank import score, verdicts
from tasks.runner import shard_runner
from tasks.shards import shards
from wmsd_core.filters import MeasureConfig
from wmsd_core.ranking import RankConfig
from wmsd_core.ranking.scoring import forget_scores, unscored
from wmsd_core.workspace import Workspace

SHARD = 2000
"""Images per task run."""


@flow(name="rank", flow_run_name="rank", task_runner=shard_runner())
def rank(
    workspace: Path,
    measuring: MeasureConfig = MeasureConfig(),
    config: RankConfig = RankConfig(),
    *,
    refresh: bool = False,
) -> Summary:
    """Scores the frames that are left and keeps the best fraction, of each source or of all.

    Args:
        workspace: Folder with the store.
        measuring: Which measurements the combined score uses.
        config: Scorer, weights, fraction.
        refresh: Forget earlier scores and score again.
    """
    place = Workspace(workspace)
    with stage_run(workspace, "rank", {"measure": measuring, "rank": config}) as summary:
        if refresh:
            forget_scores(place.store, config.aesthetic)
        summary["scorer"] = config.scorer_name()
        parts, lacking = shards(place, after="dedup", size=SHARD), unscored(place.store, config.aesthetic)
        done = in_shards(score, workspace, parts, lacking, summary["scorer"], config.aesthetic)
        summary |= now_and_before("scored", done, parts)
        summary |= verdicts(workspace, measuring, config)
        require_done(
            "rank", summary["unscored"], "scores, or no measurements with these settings (the filter makes them)"
        )
        by = "by an aesthetic predictor" if config.aesthetic else "by image statistics, which are no aesthetic model"
        publish_table("rank", [summary], f"rank: {summary['kept']} kept, {summary['dropped']} dropped, {by}")
        publish_verdicts(workspace, "rank")
        if not summary["kept"]:
            summary |= nothing_kept("rank", "no frame came this far", "run dedup first, or loosen the filter")
    return summary
