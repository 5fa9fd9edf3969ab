"""A new threshold for pictures that are measured already: a query, which needs no run of Prefect's and none of its second."""

from pathlib import Path

from tasks.bookkeeping import Summary, counted, nothing_kept, plain, stage_run
from wmsd_core.filters import FilterConfig, MeasureConfig
from wmsd_core.filters.verdict import Unmeasured, decide_again, nearest
from wmsd_core.frames import FramesConfig
from wmsd_core.workspace import Workspace


def rejudge(workspace: Path, scan: FramesConfig, measuring: MeasureConfig, thresholds: FilterConfig) -> Summary | None:
    """What the filter flow does where nothing is to be looked at, and its summary; None where something is."""
    try:
        with stage_run(workspace, "filter", {"scan": scan, "measure": measuring, "filter": thresholds}) as summary:
            judged = plain(decide_again(Workspace(workspace).store, measuring, thresholds))
            summary |= {"measured": 0, "measured_before": judged["kept"] + judged["dropped"], **judged}
            if not summary["kept"]:
                why = counted(summary["reasons"]) or "there is no readable picture"
                summary |= nothing_kept("filter", why, nearest_thresholds(workspace, measuring, thresholds))
    except Unmeasured:
        return None
    return summary


def nearest_thresholds(workspace: Path, measuring: MeasureConfig, config: FilterConfig) -> str:
    """What would keep a picture, as settings."""
    found = nearest(Workspace(workspace).store, measuring, config)
    if not found:
        return "name pictures or videos of your own, as `frames`"
    settings = " ".join(f"filter.{setting}={value}" for setting, value in found.items())
    which = "thresholds that keep one are" if len(found) > 1 else "threshold that keeps one is"
    return f"the nearest {which} {settings}; `wmsd filter --preview` shows where they cut"
