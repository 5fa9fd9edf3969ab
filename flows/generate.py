"""Stage: frames become task-solution pairs."""

from pathlib import Path

from prefect import flow, unmapped

from tasks import generate as stage
from tasks.artifacts import publish_table
from tasks.bookkeeping import Summary, counted, nothing_kept, stage_run
from tasks.caching import in_shards
from tasks.models import writer
from tasks.runner import shard_runner
from tasks.shards import shards
from wmsd_core.config import Config
from wmsd_core.models import ModelsConfig
from wmsd_core.vlm import prompts
from wmsd_core.workspace import Workspace
from wmsd_core.worldtasks import GenerateConfig, LabelConfig, SelectConfig, SplitConfig
from wmsd_core.worldtasks.generation import unwritten

SHARD = 250
"""Images per task run."""


@flow(name="generate", task_runner=shard_runner())
def generate(
    workspace: Path,
    config: GenerateConfig = GenerateConfig(),
    splitting: SplitConfig = SplitConfig(),
    models: ModelsConfig = ModelsConfig(),
    refresh: bool = False,
    labelling: LabelConfig = LabelConfig(),
    selection: SelectConfig = SelectConfig(),
) -> Summary:
    """Writes task-solution pairs for each screened frame, labels and selects them, and splits frames into train and bench.

    Args:
        workspace: Folder with the store.
        config: How many pairs a frame, of which kinds, and their limits.
        splitting: Which share of the frames is kept for the benchmark.
        models: The model that writes, labels and verifies them, as `writer`.
        refresh: Forget earlier pairs and write new ones.
        labelling: Whether the model labels tasks beside the rules.
        selection: What the model is asked about each pair, and the cap on each kind.
    """
    place = Workspace(workspace)
    configs: dict[str, Config] = {
        "generate": config,
        "label": labelling,
        "select": selection,
        "split": splitting,
        "models": models,
    }
    with stage_run(workspace, "generate", configs) as summary:
        model = writer(workspace, models).name
        if refresh:
            stage.forget_pairs(workspace)
        parts, lacking = shards(place, after="screen", size=SHARD), unwritten(place.store, model, config)
        in_shards(stage.generate, workspace, parts, lacking, models, model, prompts.version("generate"), config)
        summary |= stage.counts(workspace, model, config)
        summary["labels"] = stage.label(workspace)
        if labelling.ask:
            asked = stage.ask_labels.map(unmapped(workspace), parts, unmapped(models), unmapped(labelling)).result()
            summary["labels_by_model"] = {n: sum(part[n] for part in asked) for n in ("labelled", "before", "unread")}
            if why := next((part["why"] for part in asked if part["why"]), ""):
                summary["a_label_was_unread_because"] = why
        if questions := selection.questions():
            stage.verify.map(unmapped(workspace), parts, unmapped(models), unmapped(questions)).result()
        summary |= stage.select(workspace, model, selection)
        summary["splits"] = stage.split(workspace, splitting)
        told = f"{summary['kept']} pairs kept; {summary['refused']} frames refused, {summary['unanswered']} unanswered"
        publish_table("task-pairs", stage.sample_pairs(workspace, 12), f"generate: {told}; some pairs below")
        publish_table(
            "rejected-pairs", stage.sample_rejected(workspace), "generate: pairs not usable, one of each reason"
        )
        publish_table("refusal-rates", stage.refusals(workspace, model, config), "generate: how often it refused")
        publish_table("task-mix", stage.mixture(workspace, selection), "generate: kinds of pairs, wished and achieved")
        if agreement := stage.label_agreement(workspace):
            publish_table("label-agreement", agreement, "generate: agreement of labellers, Cohen's kappa")
            summary["kappa"] = {f"{row['kind']}, {row['one']} with {row['other']}": row["kappa"] for row in agreement}
    if not summary["kept"]:
        why = (
            counted({name: summary[name] for name in ("refused", "unanswered")})
            or "no frame is suitable, or no pair is usable"
        )
        cure = "the table rejected-pairs says why each was turned down; the thresholds are select.* and generate.*"
        summary |= nothing_kept("generate", why, cure)
    return summary
