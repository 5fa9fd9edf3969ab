"""The screen stage: a vision-language model says in which frames an agent can do something."""

import math
from pathlib import Path

from prefect import task

from tasks.bookkeeping import Summary, plain
from tasks.caching import PERSISTED, content_key
from tasks.models import writer
from tasks.retrying import retried
from tasks.shards import Shard, frame_ids
from wmsd_core.models import ModelsConfig
from wmsd_core.vlm import request_log
from wmsd_core.workspace import Workspace
from wmsd_core.worldtasks import ScreenConfig, keep_suitable, screen_frames, screening
from wmsd_core.worldtasks.screening import best_answer


@task(name="screen", **retried(3, 10), cache_key_fn=content_key, **PERSISTED)
def screen(workspace: Path, shard: Shard, models: ModelsConfig, asked: str, prompt: str) -> Summary:
    """Asks about the frames of a shard. `asked` and `prompt` name model and version of the question, for the cache."""
    place, model = Workspace(workspace), writer(workspace, models)
    return plain(screen_frames(place.store, frame_ids(place, shard), model, concurrency=model.concurrency))


@task(name="screen verdicts")
def verdicts(workspace: Path, model: str, config: ScreenConfig) -> Summary:
    """Keeps the frames whose stored answer is good enough."""
    return plain(keep_suitable(Workspace(workspace).store, model, config))


def nearest_log_odds(workspace: Path, model: str) -> str:
    """What would keep a frame."""
    best = best_answer(Workspace(workspace).store, model)
    if best is None:
        return "no answer could be read: run the stage again, or ask another model"
    return f"the nearest threshold that keeps one is screen.min_log_odds={math.floor(best * 100 - 1) / 100:.2f}"


def forget_answers(workspace: Path, model: str) -> None:
    """Deletes this model's answers, so that it is asked again."""
    place = Workspace(workspace)
    screening.forget_answers(place.store, model)
    request_log.forget(place.requests, "screen")
