"""Stage: the report."""

from pathlib import Path

from prefect import flow

from tasks.artifacts import publish_link
from tasks.bookkeeping import Summary, stage_run
from tasks.report import write


@flow(name="report")
def report(workspace: Path) -> Summary:
    """Writes one self-contained HTML page: funnel, distributions, tasks, training curves, scores, clips.

    Args:
        workspace: Folder with the store.
    """
    with stage_run(workspace, "report", {}) as summary:
        summary |= write(workspace)
        link = Path(summary["path"]).absolute().as_uri()
        publish_link("report", link, "report.html", f"report: {summary['path']}, {summary['bytes'] / 2**20:.1f} MiB")
    return summary
