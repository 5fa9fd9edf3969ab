"""What runs the shards of a stage: threads, or the processes of a Dask or Ray cluster, by the environment alone.

Threads by default: the work releases the GIL (decoding) or waits (a model's server). Rows do not depend on the choice.
Every worker must see the workspace and the images under the same paths, on a file system that locks files.
"""

import os
from importlib import import_module
from typing import Any

from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

RUNNERS = ("threads", "dask", "ray")


def shard_runner() -> TaskRunner[Any]:
    """A runner for one stage: `WMSD_RUNNER` is threads, dask or ray, `WMSD_WORKERS` how many work at a time (2), and
    `WMSD_CLUSTER` the address of a running Dask or Ray cluster, without which one is started on this machine.

    Raises:
        ValueError: there is no such runner, its package is missing, or the number of workers is none.
    """
    kind = os.environ.get("WMSD_RUNNER", "threads")
    if kind not in RUNNERS:
        raise ValueError(f"there is no runner '{kind}'; set WMSD_RUNNER to one of {', '.join(RUNNERS)}")
    text = os.environ.get("WMSD_WORKERS", "2")
    if not text.isdecimal() or not int(text):
        raise ValueError(f"WMSD_WORKERS is '{text}'; it must be a number of at least 1")
    workers, cluster = int(text), os.environ.get("WMSD_CLUSTER")
    if kind == "dask":
        runner = _imported("prefect_dask", "dask").DaskTaskRunner
        local = {"n_workers": workers, "threads_per_worker": 1, "dashboard_address": None}
        return runner(address=cluster) if cluster else runner(cluster_kwargs=local)
    if kind == "ray":
        runner = _imported("prefect_ray", "ray").RayTaskRunner
        return (
            runner(address=cluster)
            if cluster
            else runner(init_kwargs={"num_cpus": workers, "include_dashboard": False})
        )
    return ThreadPoolTaskRunner(max_workers=workers)


def threads(at_once: int) -> TaskRunner[Any]:
    """So many tasks at a time, in threads of this process, for those that wait for processes of their own."""
    return ThreadPoolTaskRunner(max_workers=at_once)


def _imported(package: str, extra: str) -> Any:
    try:
        return import_module(package)
    except ModuleNotFoundError as error:
        raise ValueError(f"WMSD_RUNNER={extra} needs more packages: pip install 'wmsd[{extra}]'") from error
