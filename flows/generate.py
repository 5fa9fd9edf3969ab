"""Stage: frames become task-solution pairs."""

from collections.abc import Sequence
from pathlib import Path

from prefect import flow, unmapped

from tasks import generate as stage
from tasks.artifacts import publish_table
from tasks.bookkeeping import Summary, counted, nothing_kept, stage_run
from tasks.caching import in_shards
from tasks.models import writer
from tasks.pictures import publish_tasks
from tasks.runner import shard_runner
from tasks.shards import Shard, shards
from wmsd_core.models import ModelsConfig
from wmsd_core.vlm import prompts
from wmsd_core.workspace import Workspace
from wmsd_core.worldtasks import GenerateConfig, LabelConfig, SelectConfig, SplitConfig
from wmsd_core.worldtasks.generation import unwritten

SHARD = 250
"""Images per task run."""
SHOWN = 12
"""Pairs that are shown to a person."""


@flow(name="generate", flow_run_name="generate", task_runner=shard_runner())
def generate(
    workspace: Path,
    config: GenerateConfig = GenerateConfig(),
    *,
    labelling: LabelConfig = LabelConfig(),
    selection: SelectConfig = SelectConfig(),
    splitting: SplitConfig = SplitConfig(),
    models: ModelsConfig = ModelsConfig(),
    refresh: bool = False,
) -> Summary:
    """Writes task-solution pairs for each screened frame, labels and selects them, and splits frames into train and bench.

    Args:
        workspace: Folder with the store.
        config: How many pairs a frame, of which kinds, and their limits.
        labelling: Whether the model labels tasks beside the rules.
        selection: What the model is asked about each pair, and the cap on each kind.
        splitting: Which share of the frames is kept for the benchmark.
        models: The model that writes, labels and verifies them, as `writer`.
        refresh: Forget earlier pairs and write new ones.
    """
    configs = {"generate": config, "label": labelling, "select": selection, "split": splitting, "models": models}
    with stage_run(workspace, "generate", configs) as summary:
        if refresh:
            stage.forget_pairs(workspace)
        model = writer(workspace, models).name
        parts = shards(Workspace(workspace), after="screen", size=SHARD)
        summary["written_now"] = _write(workspace, parts, model, models, config)
        summary |= stage.counts(workspace, model, config)
        summary |= _label(workspace, parts, models, labelling)
        _verify(workspace, parts, models, selection)
        summary |= stage.select(workspace, model, selection)
        summary["splits"] = stage.split(workspace, splitting)
        _publish(workspace, model, config, selection, summary)
        summary |= _agreement(workspace)
        if not summary["kept"]:
            summary |= _nothing(summary, stage.nearest_selection(workspace, model, selection))
    return summary


def _write(workspace: Path, parts: Sequence[Shard], model: str, models: ModelsConfig, config: GenerateConfig) -> int:
    """Returns the number of frames that were written for now."""
    lacking = unwritten(Workspace(workspace).store, model, config)
    done = in_shards(stage.generate, workspace, parts, lacking, models, model, prompts.version("generate"), config)
    return sum(part["frames"] for part in done)


def _label(workspace: Path, parts: Sequence[Shard], models: ModelsConfig, config: LabelConfig) -> Summary:
    """By rules, and by the model where it is asked."""
    told: Summary = {"labels": stage.label(workspace)}
    if not config.ask:
        return told
    asked = stage.ask_labels.map(unmapped(workspace), parts, unmapped(models), unmapped(config)).result()
    told["labels_by_model"] = {name: sum(part[name] for part in asked) for name in ("labelled", "before", "unread")}
    if why := next((part["why"] for part in asked if part["why"]), ""):
        told["a_label_was_unread_because"] = why
    return told


def _verify(workspace: Path, parts: Sequence[Shard], models: ModelsConfig, selection: SelectConfig) -> None:
    if questions := selection.questions():
        stage.verify.map(unmapped(workspace), parts, unmapped(models), unmapped(questions)).result()


def _publish(workspace: Path, model: str, config: GenerateConfig, selection: SelectConfig, summary: Summary) -> None:
    told = f"{summary['kept']} pairs kept; {summary['refused']} frames refused, {summary['unanswered']} unanswered"
    publish_tasks(workspace)
    publish_table("task-pairs", stage.sample_pairs(workspace, SHOWN), f"generate: {told}; some pairs below")
    publish_table(
        "rejected-pairs",
        stage.sample_rejected(workspace, model, config),
        "generate: pairs not usable, one of each reason",
    )
    publish_table("refusal-rates", stage.refusals(workspace, model, config), "generate: how often it refused")
    publish_table("task-mix", stage.mixture(workspace, selection), "generate: kinds of pairs, wished and achieved")


def _agreement(workspace: Path) -> Summary:
    """How far labellers agree, where there are several."""
    found = stage.label_agreement(workspace)
    if not found:
        return {}
    publish_table("label-agreement", found, "generate: agreement of labellers, Cohen's kappa")
    return {"kappa": {f"{row['kind']}, {row['one']} with {row['other']}": row["kappa"] for row in found}}


def _nothing(summary: Summary, nearest: str) -> Summary:
    if not summary["came"]:
        return nothing_kept("generate", "no frame came this far", "run the stages before, or loosen them")
    outcomes = {name.replace("_", " "): summary[name] for name in ("refused", "unanswered", "without_pairs")}
    why = counted(outcomes | summary["rejected"] | summary["dropped"]) or "no frame has been written for"
    told = "the table rejected-pairs says why each was turned down; the limits are generate.*"
    return nothing_kept("generate", why, nearest or told)
