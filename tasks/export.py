"""The dataset out and in: files for others, and the published layout as a source of pairs."""

from pathlib import Path

from prefect import task

from tasks.bookkeeping import Summary, plain
from tasks.cores import CORES
from tasks.retrying import retried
from wmsd_core.frames import FramesConfig
from wmsd_core.workspace import Workspace
from wmsd_core.worldtasks import SplitConfig, label_tasks
from wmsd_core.worldtasks.export import ExportConfig
from wmsd_core.worldtasks.export import export as write
from wmsd_core.worldtasks.importing import import_folder
from wmsd_core.worldtasks.layout import ImportConfig
from wmsd_core.worldtasks.leaks import complaint, find_leaks


@task(name="check for leaks")
def check(workspace: Path, splitting: SplitConfig) -> Summary:
    """Looks for anything that is in both train and bench, and fails if there is something.

    Raises:
        ValueError: there is a leak; the message counts them by kind.
    """
    if leaks := find_leaks(Workspace(workspace).store, splitting.near, splitting.leaks, threads=CORES):
        raise ValueError(complaint(leaks))
    return {"leaks": 0}


@task(name="export", **retried(1, 10))
def export(workspace: Path, out: Path, config: ExportConfig, splitting: SplitConfig) -> Summary:
    """Writes the dataset to a folder."""
    return plain(write(Workspace(workspace).store, out, config, splitting, threads=CORES))


@task(name="import", **retried(1, 10))
def import_dataset(workspace: Path, folder: Path, config: ImportConfig, scan: FramesConfig) -> Summary:
    """Registers a dataset's pictures, stores its pairs and splits, and labels the pairs that bring no label."""
    path = Workspace(workspace).store
    summary = plain(import_folder(path, folder, config, scan))
    label_tasks(path)
    return summary


def leaks_of(workspace: Path, splitting: SplitConfig) -> str:
    """What is wrong with the division of a set that somebody else divided; empty if nothing."""
    leaks = find_leaks(Workspace(workspace).store, splitting.near, splitting.leaks, threads=CORES)
    return complaint(leaks) if leaks else ""
