"""Stage: the report."""

from pathlib import Path

from prefect import flow

from tasks.artifacts import address, publish_link
from tasks.bookkeeping import Summary, stage_run
from tasks.report import write


@flow(name="report", flow_run_name="report")
def report(workspace: Path) -> Summary:
    """Writes one self-contained HTML page: funnel, distributions, tasks, training curves, scores, clips.

    Args:
        workspace: Folder with the store.
    """
    with stage_run(workspace, "report", {}) as summary:
        summary |= write(workspace)
        link = address(workspace, Path(summary["path"]))
        publish_link("report", link, "report.html", f"report: {summary['path']}, {summary['bytes'] / 2**20:.1f} MiB")
    return summary
