"""The generate stage: task-solution pairs, their labels, and which images are kept for the benchmark."""

from pathlib import Path

from prefect import task

from tasks.bookkeeping import Summary, plain
from tasks.caching import PERSISTED, content_key
from tasks.models import writer
from tasks.retrying import retried
from tasks.shards import Shard, members
from wmsd_core import store
from wmsd_core.models import ModelsConfig
from wmsd_core.vlm import request_log
from wmsd_core.workspace import Workspace
from wmsd_core.worldtasks import (
    GenerateConfig,
    SplitConfig,
    TaskPairs,
    assign_splits,
    find_leaks,
    generate_pairs,
    label_tasks,
)
from wmsd_core.worldtasks.generation import generation


@task(name="generate pairs", **retried(3, 10), cache_key_fn=content_key, **PERSISTED)
def generate(
    workspace: Path, shard: Shard, models: ModelsConfig, asked: str, prompt: str, config: GenerateConfig
) -> Summary:
    """Writes pairs for the frames of a shard. `asked` and `prompt` name model and version of the request, for the cache."""
    place, model = Workspace(workspace), writer(workspace, models)
    return plain(generate_pairs(place.store, members(place, shard), model, config, concurrency=model.concurrency))


@task(name="label tasks")
def label(workspace: Path) -> Summary:
    """Sorts pairs into agent and task types."""
    return plain(label_tasks(Workspace(workspace).store))


@task(name="split")
def split(workspace: Path, config: SplitConfig) -> Summary:
    """Divides frames into train and bench, and makes sure that nothing is in both.

    Raises:
        RuntimeError: something is in both.
    """
    path = Workspace(workspace).store
    summary = plain(assign_splits(path, config))
    if leaks := find_leaks(path, config):
        raise RuntimeError(f"{len(leaks)} frames or tasks are in both train and bench, the first: {leaks[0]}")
    return summary


def has_other_pairs(workspace: Path, model: str, config: GenerateConfig) -> bool:
    """Whether the store holds pairs of another model or configuration: a generation replaces what was there before it,
    so an earlier "done" of this one may no longer be true."""
    made_by = generation(model, config)
    with store.reading(Workspace(workspace).store) as con:
        return store.query(con, "SELECT count(*) AS n FROM task_pairs WHERE config_hash <> ?", [made_by])[0]["n"] > 0


def sample_pairs(workspace: Path, count: int) -> list[Summary]:
    """Some pairs to look at, the same ones every time."""
    with store.reading(Workspace(workspace).store) as con:
        sql = "SELECT task, solution, path FROM task_pairs JOIN frames USING (frame_id) ORDER BY pair_id LIMIT ?"
        return store.query(con, sql, [count])


def forget_pairs(workspace: Path) -> None:
    """Deletes all pairs, so that they are written again."""
    place = Workspace(workspace)
    with store.writing(place.store) as con:
        con.execute("DELETE FROM task_pairs")
        con.execute("DELETE FROM taxonomy")
        con.execute("DELETE FROM rejections WHERE stage = 'generate'")
    request_log.forget(place.requests, TaskPairs.__name__)
