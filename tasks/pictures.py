"""Pictures in the Prefect UI: of what a stage kept and dropped, of tasks, of videos, of a training's curves.

Only where a browser can reach them, which `wmsd up` sees to; elsewhere nothing is drawn.
"""

from pathlib import Path
from typing import Any

from tasks.artifacts import Markdown, grid, picture, publish_page, served, table, thumbnails
from wmsd_core import store
from wmsd_core.bench import scores
from wmsd_core.bench.evaluation import Evaluation
from wmsd_core.store import overview
from wmsd_core.store.funnel import Stage
from wmsd_core.training.records import RunFolder
from wmsd_core.workspace import Workspace

EACH = 4
"""Pictures of each group."""
TASKS = 8


def publish_verdicts(workspace: Path, stage: Stage) -> None:
    """Some of the pictures that a stage kept, and of those that it dropped, by reason."""
    if not served(workspace):
        return
    with store.reading(Workspace(workspace).store) as con:
        found = overview.verdict_examples(con, stage, EACH)
    small = thumbnails(workspace, {row["frame_id"]: Path(row["path"]) for row in found})
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in found:
        groups.setdefault(f"### {row['reason'].replace('_', ' ')}: {row['n']:,}", []).append(row)
    parts = [
        f"{heading}\n\n{grid([(small[row['frame_id']], Path(row['path']).name) for row in rows if row['frame_id'] in small])}"
        for heading, rows in groups.items()
    ]
    publish_page(f"{stage}-pictures", "\n\n".join(parts), f"{stage}: what was kept, and what was dropped")


def publish_tasks(workspace: Path) -> None:
    """Some task-solution pairs with their pictures."""
    if not served(workspace):
        return
    with store.reading(Workspace(workspace).store) as con:
        found = overview.task_examples(con, TASKS)
    small = thumbnails(workspace, {row["frame_id"]: Path(row["path"]) for row in found})
    rows = [(small.get(row["frame_id"], ""), row["task"], row["solution"]) for row in found]
    publish_page("task-pictures", table(["picture", "task", "solution"], rows), "generate: some pairs")


def publish_videos(workspace: Path, evaluation: Evaluation) -> None:
    """The first videos of each arm beside each other, with their verdicts."""
    if not served(workspace):
        return
    with store.reading(Workspace(workspace).store) as con:
        by_arm = scores.outcomes(con, evaluation)
    shown = [list(outcomes) for outcomes in zip(*by_arm.values(), strict=True)][:TASKS]
    rows = [[each[0].item.task, *(_video(workspace, outcome) for outcome in each)] for each in shown]
    told = "evaluate: the first videos, from the same noise, and how many criteria each fulfils"
    publish_page("benchmark-videos", table(["task", *by_arm], rows), told)


def _video(workspace: Path, outcome: scores.Outcome) -> str:
    from wmsd_core.pages.images import write_clip  # reads what draws, which takes a second

    told = f"{sum(map(bool, outcome.verdicts.values()))} of {len(outcome.verdicts)}"
    small = Workspace(workspace).pictures / f"{outcome.sha256}.webp"
    if not outcome.video or not (small.is_file() or write_clip(Path(outcome.video), small)):
        return told
    return Markdown(f"{picture(workspace, small)} {told}")


def publish_curves(workspace: Path, run: RunFolder) -> None:
    """The curves of a training run so far, as a picture in its folder."""
    if not served(workspace):
        return
    from wmsd_core.bench.report import curves  # reads what draws, which takes a second
    from wmsd_core.files import replacing

    with store.reading(Workspace(workspace).store) as con:
        drawn = curves.picture(con, run.run_id)
    if drawn:
        path = run.path / "curves.png"
        with replacing(path) as partial:
            partial.write_bytes(drawn)
        publish_page(
            "training-curves", picture(workspace, path), f"train: run {run.run_id[:12]}; reload while it goes on"
        )
