"""The report: one HTML file of whatever the workspace holds."""

from pathlib import Path

from prefect import task

from tasks.bookkeeping import Summary, plain
from tasks.filter import defect_scores
from tasks.retrying import retried
from wmsd_core.bench.report import write_report
from wmsd_core.workspace import Workspace


@task(name="write report", **retried(1, 2))
def write(workspace: Path) -> Summary:
    """Writes `report.html`."""
    place = Workspace(workspace)
    return plain(write_report(place.store, place.report, defects=defect_scores(workspace), drawings=place.charts))
