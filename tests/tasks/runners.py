"""The filter and dedup stages on a few dozen images, by threads, Dask and Ray: the stores must hold the same rows.

    python -m tests.tasks.runners

Each runs in a process of its own with a temporary Prefect server; one to a few minutes in all.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tasks.runner import RUNNERS
from tests.flows.kill import content, differences, say
from tests.frames.pictures import folder_of
from wmsd_core.workspace import Workspace

PROGRAM = """
from deployments import cli, start

if __name__ == "__main__":
    start.begin()
    from flows import dedup, filter

    filter.SHARD = dedup.SHARD = 10
    cli.main()
"""
SMALL = ["--set", "measure.working_width=64"]


def images(folder: Path) -> Path:
    """36 files, one of them truncated."""
    folder_of(folder, 36)
    (folder / "004.png").write_bytes((folder / "005.png").read_bytes()[:150])
    return folder


def rows(runner: str, pictures: Path, folder: Path) -> dict[str, list[object]]:
    """Everything that the two stages store when `runner` runs their shards, by the commands that a user gives."""
    (folder / "program.py").write_text(PROGRAM)
    environment = os.environ | {
        **{"WMSD_RUNNER": runner, "WMSD_WORKERS": "2", "PREFECT_HOME": str(folder / "prefect")},
        **{"PYTHONPATH": str(Path(__file__).parents[2]), "RAY_USAGE_STATS_ENABLED": "0", "OMP_NUM_THREADS": "1"},
    }
    root = folder / runner
    stages = (
        ["filter", "--frames", str(pictures), "--set", "filter.min_side=16", *SMALL],
        ["dedup", *SMALL],
    )
    for stage in stages:
        command = [sys.executable, str(folder / "program.py"), *stage, "--workspace", str(root)]
        run = subprocess.run(command, env=environment, capture_output=True, text=True)
        if run.returncode:
            raise RuntimeError(f"{runner}: {run.stdout[-2000:]}{run.stderr[-6000:]}")
    return content(Workspace(root))


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pictures = images(folder / "images")
        stores = {runner: rows(runner, pictures, folder) for runner in RUNNERS}
    say(", ".join(f"{table}: {len(found)}" for table, found in stores["threads"].items() if found))
    found = [(runner, differences(stores["threads"], stores[runner])) for runner in RUNNERS[1:]]
    for runner, different in found:
        say(f"{runner}: {', '.join(different) or 'the same rows as threads'}")
    sys.exit(any(different for _, different in found))


if __name__ == "__main__":
    main()
