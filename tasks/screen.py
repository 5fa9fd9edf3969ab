"""The screen stage: a vision-language model says in which frames an agent can do something."""

from pathlib import Path

from prefect import task

from tasks.bookkeeping import Summary, plain
from tasks.caching import PERSISTED, content_key
from tasks.retrying import retried
from tasks.shards import Shard, members
from wmsd_core import store
from wmsd_core.models import vlm
from wmsd_core.workspace import Workspace
from wmsd_core.worldtasks import ScreenConfig, keep_suitable, screen_frames


@task(name="screen", **retried(3, 10), cache_key_fn=content_key, **PERSISTED)
def screen(workspace: Path, shard: Shard, model: str, prompt: str) -> Summary:
    """Asks about the frames of a shard. `prompt` names the version of the question, for the cache."""
    place, asked = Workspace(workspace), vlm(model)
    return plain(screen_frames(place.store, members(place, shard), asked, concurrency=asked.concurrency))


@task(name="screen verdicts")
def verdicts(workspace: Path, model: str, config: ScreenConfig) -> Summary:
    """Keeps the frames whose stored answer is good enough."""
    return plain(keep_suitable(Workspace(workspace).store, vlm(model).name, config))


def forget_answers(workspace: Path, model: str) -> None:
    """Deletes this model's answers, so that it is asked again."""
    with store.writing(Workspace(workspace).store) as con:
        con.execute("DELETE FROM screenings WHERE model = ?", [vlm(model).name])
