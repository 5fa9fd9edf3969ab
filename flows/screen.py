"""Stage: a vision-language model sorts out frames in which nobody can do anything."""

from pathlib import Path

from prefect import flow

from tasks.artifacts import publish_table
from tasks.bookkeeping import Summary, counted, nothing_kept, stage_run
from tasks.caching import in_shards, now_and_before
from tasks.models import writer
from tasks.pictures import publish_verdicts
from tasks.runner import shard_runner
from tasks.screen import forget_answers, nearest_log_odds, verdicts
from tasks.screen import screen as screen_shard
from tasks.shards import shards
from wmsd_core.models import ModelsConfig
from wmsd_core.vlm import prompts
from wmsd_core.workspace import Workspace
from wmsd_core.worldtasks import ScreenConfig
from wmsd_core.worldtasks.screening import unscreened

SHARD = 500
"""Images per task run."""


@flow(name="screen", flow_run_name="screen", task_runner=shard_runner())
def screen(
    workspace: Path,
    config: ScreenConfig = ScreenConfig(),
    models: ModelsConfig = ModelsConfig(),
    *,
    refresh: bool = False,
) -> Summary:
    """Asks the vision-language model in which of the ranked frames an agent can do something, and drops the others.

    Args:
        workspace: Folder with the store.
        config: How sure of a yes the model must be.
        models: The model that is asked, as `writer`.
        refresh: Forget earlier answers and ask again.
    """
    place = Workspace(workspace)
    with stage_run(workspace, "screen", {"screen": config, "models": models}) as summary:
        model = writer(workspace, models).name
        if refresh:
            forget_answers(workspace, model)
        parts, lacking = shards(place, after="rank", size=SHARD), unscreened(place.store, model)
        done = in_shards(screen_shard, workspace, parts, lacking, models, model, prompts.version("screen"))
        summary |= now_and_before("answered", done, parts)
        summary |= verdicts(workspace, model, config)
        told = (
            f"{summary['kept']} kept, {summary['unsuitable']} unsuitable, {summary['unread']} without a readable answer"
        )
        publish_table("screen", [summary], f"screen: {told}")
        publish_verdicts(workspace, "screen")
        if not summary["kept"]:
            why = counted({name: summary[name] for name in ("unsuitable", "unread")}) or "no frame came this far"
            summary |= nothing_kept("screen", why, nearest_log_odds(workspace, model))
    return summary
