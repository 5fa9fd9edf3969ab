"""What orchestration costs where nothing is left to do: `python -m yardsticks.overhead`, some minutes, Linux.

A small pipeline is run once, then again with a temporary server and with one that runs already; then shards whose work is
nothing, first and again. Of each: wall time, CPU seconds of the command and of the server, bytes that the server's database
grew by. What is imported is warm: all was started once before it is counted.

    --runs 5 --shards 100
"""

import argparse
import ctypes
import os
import resource
import sqlite3
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import psutil
from prefect import flow, task

from deployments import start
from deployments.server import TemporaryServer, answers
from tasks.bookkeeping import Summary
from tasks.caching import PERSISTED, content_key, in_shards
from tasks.heartbeats import silent
from tasks.runner import shard_runner
from tasks.shards import Shard
from tests.flows.kill import SETTINGS

SHARDS = "from yardsticks.overhead import of_nothing; of_nothing"
SUBREAPER = 36
"""PR_SET_CHILD_SUBREAPER: what a command leaves behind is counted with it."""


@dataclass(frozen=True)
class Cost:
    """Of one run."""

    wall: float
    command: float
    """CPU seconds."""
    server: float
    """Likewise, from its start on where it is the command's own."""
    grown: int
    """Bytes of the server's database."""


@task(name="nothing", cache_key_fn=content_key, **PERSISTED)
def nothing(workspace: Path, shard: Shard) -> Summary:
    """A shard without work."""
    return {"done": 0}


@flow(name="nothing", task_runner=shard_runner())
def shards_of_nothing(workspace: Path, number: int) -> None:
    """So many shards, whose rows are all there."""
    parts = [Shard(after=None, first="", last="", frames=0, members=str(i)) for i in range(number)]
    in_shards(nothing, workspace, parts, [])


def of_nothing(workspace: str, number: int) -> None:
    """The flow, in a process of its own."""
    with silent():
        shards_of_nothing(Path(workspace), number)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--shards", type=int, default=100)
    given = parser.parse_args()
    start.begin()
    ctypes.CDLL(None).prctl(SUBREAPER, 1, 0, 0, 0)
    with TemporaryDirectory() as folder:
        home, workspace = Path(folder) / "prefect", Path(folder) / "workspace"
        os.environ["PREFECT_HOME"] = str(home)
        pipeline = ["-m", "deployments.cli", "pipeline", "--workspace", str(workspace)]
        pipeline += [word for setting in SETTINGS for word in ("--set", setting)]
        tell("the first pipeline", [run(pipeline, home)])
        run(pipeline, home)
        tell("again, with a server of its own", [run(pipeline, home) for _ in range(given.runs)])
        with running(home) as server:
            run(pipeline, home, server)
            tell("again, with a server that runs", [run(pipeline, home, server) for _ in range(given.runs)])
            none, some = (["-c", f"{SHARDS}({str(workspace)!r}, {n})"] for n in (0, given.shards))
            run(none, home, server)
            tell("a flow of no shard", [run(none, home, server) for _ in range(given.runs)])
            tell(f"{given.shards} shards of nothing", [run(some, home, server)])
            tell("again, all remembered", [run(some, home, server) for _ in range(given.runs)])


@contextmanager
def running(home: Path) -> Generator[psutil.Process]:
    """A server that others use."""
    server = TemporaryServer()
    os.environ["PREFECT_API_URL"] = server.url
    command = [sys.executable, "-m", "deployments.server", str(server.port)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE)
    while not answers(server.url):
        time.sleep(0.1)
    try:
        yield psutil.Process(process.pid)
    finally:
        process.communicate()


def run(arguments: list[str], home: Path, server: psutil.Process | None = None) -> Cost:
    """Runs Python with these arguments, and waits until all that it has started is gone."""
    size, before, spent = bytes_of(home), children(), cpu(server)
    started = time.monotonic()
    with home.with_suffix(".log").open("wb") as log:
        command = subprocess.Popen([sys.executable, *arguments], stdout=log, stderr=log)
    _, status, used = os.wait4(command.pid, 0)
    wall = time.monotonic() - started
    command.returncode = os.waitstatus_to_exitcode(status)
    if command.returncode:
        raise RuntimeError(f"{' '.join(arguments)} has failed: {home.with_suffix('.log').read_text()[-2000:]}")
    own = used.ru_utime + used.ru_stime
    if server:
        time.sleep(2)  # the last events are still being written
        return Cost(wall, own, cpu(server) - spent, bytes_of(home) - size)
    while psutil.Process().children():
        os.wait()  # its server, which ends after it
    return Cost(wall, own, children() - before - own, bytes_of(home) - size)


def tell(what: str, costs: list[Cost]) -> None:
    """A line of medians, and of the range of wall times."""
    walls = [cost.wall for cost in costs]
    found = Cost(*(median(getattr(cost, name) for cost in costs) for name in ("wall", "command", "server", "grown")))
    print(
        f"{what}: {found.wall:.1f} s ({min(walls):.1f} to {max(walls):.1f}), CPU {found.command:.2f} s of the command, "
        f"{found.server:.2f} s of the server; database +{found.grown / 1024:.0f} KiB; load {os.getloadavg()[0]:.1f}",
        flush=True,
    )


def children() -> float:
    """CPU seconds of the children that are gone."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def cpu(server: psutil.Process | None) -> float:
    times = server.cpu_times() if server else None
    return times.user + times.system if times else 0.0


def bytes_of(home: Path) -> int:
    """What the server's database takes, whatever of it still lies in its log."""
    if not (home / "prefect.db").is_file():
        return 0
    with closing(sqlite3.connect(home / "prefect.db")) as db:
        pages, size, free = (
            db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size", "freelist_count")
        )
    return (pages - free) * size


if __name__ == "__main__":
    main()
