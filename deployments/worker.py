"""The process worker of `wmsd up`: takes runs from the pool and starts each as a process of its own.

It ends when its standard input does, so that it cannot outlive whoever started it, and ends its runs with it: a training
leaves a checkpoint. Prefect's own worker leaves its runs alone when it is told to stop.

    python -m deployments.worker
"""

import asyncio
import os
import threading
from contextlib import suppress

import psutil
from prefect.workers.process import ProcessWorker

from deployments import start

POOL = "wmsd"
GRACE = 75.0
"""Seconds for runs to end: more than a training has for its last step and checkpoint."""


def main() -> None:
    """Works until standard input ends."""
    start.begin()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    asyncio.run(ProcessWorker(work_pool_name=POOL).start())


def _end_with_parent() -> None:
    while os.read(0, 4096):
        pass
    end_runs(psutil.Process())
    os._exit(0)


def end_runs(worker: psutil.Process) -> None:
    """SIGTERM to the runs of a worker, which pass it on to what they have started; SIGKILL to what is left after the grace
    period."""
    tree = worker.children(recursive=True)
    for run in worker.children():
        with suppress(psutil.NoSuchProcess):
            run.terminate()
    _, left = psutil.wait_procs(tree, GRACE)
    for process in left:
        with suppress(psutil.NoSuchProcess):
            process.kill()


if __name__ == "__main__":
    main()
