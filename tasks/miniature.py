"""The miniature's image files and base weights."""

import json
from collections import Counter
from pathlib import Path

from prefect import task

from tasks.bookkeeping import Summary
from tasks.progress import progress
from wmsd_core.miniature.films import FilmConfig, shoot
from wmsd_core.miniature.pictures import RenderConfig
from wmsd_core.miniature.pictures import render as render_pictures
from wmsd_core.workspace import Workspace


@task(name="render frames")
def render_frames(workspace: Path, config: RenderConfig) -> Summary:
    """Writes the files that are missing, and says what was planted."""
    place = Workspace(workspace)
    before = sum(1 for _ in place.frames.glob("*.*"))
    with progress("render", key="rendering") as report:
        for files in render_pictures(place.frames, place.truth, config):
            report(files, config.n)
    kinds = Counter(json.loads(place.truth.read_text(encoding="utf-8")).values())
    return {"files": config.n, "new": config.n - before, "kinds": dict(sorted(kinds.items()))}


@task(name="film videos")
def film_videos(folder: Path, config: FilmConfig) -> Summary:
    """Writes recorded videos."""
    with progress("film", key="filming") as report:
        for videos in shoot(folder, config):
            report(videos, config.n)
    return {"folder": str(folder), "videos": config.n}
