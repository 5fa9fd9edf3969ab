"""The generate stage: task-solution pairs, their labels and verdicts, and which images are kept for the benchmark."""

import math
from collections.abc import Sequence
from pathlib import Path

from prefect import task

from tasks.artifacts import short_path
from tasks.bookkeeping import Summary, plain
from tasks.caching import PERSISTED, content_key
from tasks.cores import CORES
from tasks.models import writer
from tasks.retrying import retried
from tasks.shards import Shard, frame_ids
from wmsd_core import store
from wmsd_core.models import ModelsConfig
from wmsd_core.vlm import request_log
from wmsd_core.workspace import Workspace
from wmsd_core.worldtasks import (
    GenerateConfig,
    LabelConfig,
    SelectConfig,
    SplitConfig,
    TaskPairs,
    assign_splits,
    generate_pairs,
    keep_pairs,
    label_by_model,
    label_tasks,
    verify_pairs,
)
from wmsd_core.worldtasks.agreement import agreements
from wmsd_core.worldtasks.generation import forget_all_pairs, generation
from wmsd_core.worldtasks.overview import achieved, overview, refusal_rates, rejected_examples, some_pairs
from wmsd_core.worldtasks.selection import nearest
from wmsd_core.worldtasks.splits import forget_division


@task(name="generate pairs", **retried(3, 10), cache_key_fn=content_key, **PERSISTED)
def generate(
    workspace: Path, shard: Shard, models: ModelsConfig, asked: str, prompt: str, config: GenerateConfig
) -> Summary:
    """Writes pairs for the frames of a shard. `asked` and `prompt` name model and version of the request, for the cache."""
    place, model = Workspace(workspace), writer(workspace, models)
    return plain(generate_pairs(place.store, frame_ids(place, shard), model, config, concurrency=model.concurrency))


@task(name="label tasks")
def label(workspace: Path) -> int:
    """Sorts pairs into agent and task types, by rules."""
    return label_tasks(Workspace(workspace).store)


# The next two are not cached: what they have done is seen in the store, and whether it is all depends on the pairs there.
@task(name="label tasks by model", **retried(3, 10))
def ask_labels(workspace: Path, shard: Shard, models: ModelsConfig, config: LabelConfig) -> Summary:
    """Lets the model label the pairs of a shard."""
    place, model = Workspace(workspace), writer(workspace, models)
    return plain(label_by_model(place.store, frame_ids(place, shard), model, config, concurrency=model.concurrency))


@task(name="verify pairs", **retried(3, 10))
def verify(workspace: Path, shard: Shard, models: ModelsConfig, questions: Sequence[str]) -> Summary:
    """Asks the model that sees the picture about the pairs of a shard."""
    place, model = Workspace(workspace), writer(workspace, models)
    return plain(verify_pairs(place.store, frame_ids(place, shard), model, questions, concurrency=model.concurrency))


@task(name="pair verdicts")
def select(workspace: Path, model: str, config: SelectConfig) -> Summary:
    """Keeps the pairs whose stored answers are good enough, within the cap of their kind."""
    return plain(keep_pairs(Workspace(workspace).store, model, config))


@task(name="split")
def split(workspace: Path, config: SplitConfig) -> Summary:
    """Divides frames into train and bench, and makes sure that nothing is in both."""
    return plain(assign_splits(Workspace(workspace).store, config, threads=CORES))


def nearest_selection(workspace: Path, model: str, config: SelectConfig) -> str:
    """What would keep a pair; empty where it was not the selection that kept none."""
    found = nearest(Workspace(workspace).store, model, config)
    settings = " ".join(f"select.{name}={math.floor(value * 100 - 1) / 100:.2f}" for name, value in found.items())
    return f"the nearest threshold that keeps one is {settings}" if settings else ""


def sample_pairs(workspace: Path, count: int) -> list[Summary]:
    """Some pairs to look at, the same ones every time."""
    with store.reading(Workspace(workspace).store) as con:
        found = some_pairs(con, count)
    return [row | {"path": short_path(workspace, row["path"])} for row in found]


def counts(workspace: Path, model: str, config: GenerateConfig) -> Summary:
    """Frames and pairs of this generation by what became of them."""
    with store.reading(Workspace(workspace).store) as con:
        return plain(overview(con, generation(model, config)))


def refusals(workspace: Path, model: str, config: GenerateConfig) -> list[Summary]:
    """How often the model refused, by source of the frame and by wished kinds."""
    with store.reading(Workspace(workspace).store) as con:
        rates = refusal_rates(con, generation(model, config))
    return [{**plain(found), "rate": f"{found.rate:.1%}"} for found in rates]


def mixture(workspace: Path, config: SelectConfig) -> list[Summary]:
    """Usable pairs by kind of agent and task, beside the wished shares."""
    with store.reading(Workspace(workspace).store) as con:
        cells = achieved(con, config.mix)
    return [
        {
            **found.cell._asdict(),
            "wished share": f"{found.wished_share:.1%}",
            "share": f"{found.share:.1%}",
            "pairs": found.pairs,
            "frames that it was wished of": found.wished,
            "of these, frames that have it": found.granted,
        }
        for found in cells
    ]


def label_agreement(workspace: Path) -> list[Summary]:
    """Cohen's kappa of every two labellers; empty where there is only one."""
    with store.reading(Workspace(workspace).store) as con:
        found = agreements(con)
    # NaN is no JSON
    return [{**plain(each), "kappa": None if math.isnan(each.kappa) else round(each.kappa, 3)} for each in found]


def sample_rejected(workspace: Path, model: str, config: GenerateConfig) -> list[Summary]:
    """For each reason, how many pairs of this generation were not usable, and one of them."""
    with store.reading(Workspace(workspace).store) as con:
        return rejected_examples(con, generation(model, config))


def forget_pairs(workspace: Path) -> None:
    """Deletes all pairs, so that they are written again, and their division with them."""
    place = Workspace(workspace)
    with store.writing(place.store) as con:
        forget_all_pairs(con)
        forget_division(con)
    request_log.forget(place.requests, TaskPairs.__name__)
