"""Stage: frames become task-solution pairs."""

from pathlib import Path

from prefect import flow, unmapped

from tasks.artifacts import publish_table
from tasks.bookkeeping import Summary, stage_run
from tasks.generate import forget_pairs, has_other_pairs, label, sample_pairs, split
from tasks.generate import generate as generate_shard
from tasks.models import writer
from tasks.runner import shard_runner
from tasks.shards import shards, unfinished
from wmsd_core.models import ModelsConfig
from wmsd_core.vlm import prompts
from wmsd_core.workspace import Workspace
from wmsd_core.worldtasks import GenerateConfig, SplitConfig

SHARD = 250
"""Images per task run."""


@flow(name="generate", task_runner=shard_runner())
def generate(
    workspace: Path,
    config: GenerateConfig = GenerateConfig(),
    splitting: SplitConfig = SplitConfig(),
    models: ModelsConfig = ModelsConfig(),
    refresh: bool = False,
) -> Summary:
    """Writes task-solution pairs for each screened frame, labels them, and splits frames into train and bench.

    Args:
        workspace: Folder with the store.
        config: How many pairs a frame, and their limits.
        splitting: Which share of the frames is kept for the benchmark.
        models: The model that writes them, as `writer`.
        refresh: Forget earlier pairs and write new ones.
    """
    place = Workspace(workspace)
    with stage_run(workspace, "generate", {"generate": config, "split": splitting, "models": models}) as summary:
        model = writer(workspace, models).name
        if refresh:
            forget_pairs(workspace)
        again = refresh or unfinished(place, "generate") or has_other_pairs(workspace, model, config)
        written = generate_shard.with_options(refresh_cache=again).map(
            unmapped(workspace),
            shards(place, after="screen", size=SHARD),
            unmapped(models),
            unmapped(model),
            unmapped(prompts.version("generate")),
            unmapped(config),
        )
        parts = written.result()
        summary |= {name: sum(part[name] for part in parts) for name in ("frames", "pairs", "refused", "unanswered")}
        summary["labels"] = label(workspace)
        summary["splits"] = split(workspace, splitting)
        publish_table(
            "task-pairs", sample_pairs(workspace, 12), f"generate: {summary['labels']} new pairs, some of them below"
        )
    return summary
