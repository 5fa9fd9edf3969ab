"""Stage: frames are ranked, and the best fraction kept."""

from pathlib import Path

from prefect import flow, unmapped

from tasks.artifacts import publish_table
from tasks.bookkeeping import Summary, stage_run
from tasks.rank import forget_scores, score, verdicts
from tasks.runner import shard_runner
from tasks.shards import shards
from wmsd_core.filters import MeasureConfig
from wmsd_core.ranking import RankConfig
from wmsd_core.workspace import Workspace

SHARD = 2000
"""Images per task run."""


@flow(name="rank", task_runner=shard_runner())
def rank(
    workspace: Path,
    measuring: MeasureConfig = MeasureConfig(),
    config: RankConfig = RankConfig(),
    refresh: bool = False,
) -> Summary:
    """Scores the frames that are left and keeps the best fraction, of each source or of all.

    Args:
        workspace: Folder with the store.
        measuring: Which measurements the combined score uses.
        config: Scorer, weights, fraction.
        refresh: Forget earlier scores and score again.
    """
    with stage_run(workspace, "rank", {"measure": measuring, "rank": config}) as summary:
        if refresh:
            forget_scores(workspace, config)
        summary["scorer"] = config.scorer_name()
        scored = score.with_options(refresh_cache=refresh).map(
            unmapped(workspace),
            shards(Workspace(workspace), after="dedup", size=SHARD),
            unmapped(summary["scorer"]),
            unmapped(config.aesthetic),
        )
        summary["scored"] = sum(part["scored"] for part in scored.result())
        summary |= verdicts(workspace, measuring, config)
        by = "by an aesthetic predictor" if config.aesthetic else "by image statistics, which are no aesthetic model"
        publish_table("rank", [summary], f"rank: {summary['kept']} kept, {summary['dropped']} dropped, {by}")
    return summary
