"""The miniature's own flows: its image files, and its recorded videos."""

from pathlib import Path

from prefect import flow

from tasks.artifacts import publish_table
from tasks.bookkeeping import Summary, stage_run
from tasks.miniature import film_videos, render_frames
from wmsd_core.miniature.films import FilmConfig
from wmsd_core.miniature.pictures import RenderConfig


@flow(name="render", flow_run_name="render")
def render(workspace: Path, config: RenderConfig = RenderConfig()) -> Summary:
    """Renders the miniature's image files, with planted defects among them; files that exist are left alone.

    Args:
        workspace: Folder that receives `frames/`, and beside it what was planted where.
        config: How many images, and which share has which defect.
    """
    with stage_run(workspace, "render", {"render": config}) as summary:
        summary |= render_frames(workspace, config)
        rows = [{"kind": kind, "files": files} for kind, files in summary["kinds"].items()]
        publish_table("rendered-images", rows, f"render: {summary['files']} image files, {summary['new']} of them new")
    return summary


@flow(name="film", flow_run_name="film")
def film(folder: Path, config: FilmConfig = FilmConfig()) -> Summary:
    """Films the miniature: recorded videos that nobody has named a task for, for supervised fine-tuning.

    Args:
        folder: Folder that receives the videos.
        config: How many.
    """
    return film_videos(folder, config)
