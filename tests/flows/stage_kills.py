"""Kills each stage outright at moments spread over it, and compares what a second start makes of it to a run left alone.

    python -m tests.flows.stage_kills --kills 10

A stage runs as a command of its own in a workspace in which all before it has finished. From the moment at which it begins
its work, its duration is divided into as many parts as there are kills; in each everything is killed with SIGKILL at a
random moment, and the same command is started once more. Rows and files must be those of an undisturbed run, and nothing else
may lie in the workspace. Commands are forked of a process that has read the program, and share a Prefect server: to start
is most of what a small stage costs.
"""

import multiprocessing
import os
import random
import shutil
import sys
import time
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from deployments.server import TemporaryServer
from deployments.start import begin
from tests.flows.kill import SETTINGS, content, differences, kill_all, main, say, stages
from wmsd_core import store
from wmsd_core.store.place import renew
from wmsd_core.workspace import Workspace

DEADLINE = 600.0
SHORTER = 0.8
"""Times the moment: the next try where a stage had finished before it was killed."""


def commands(root: Path) -> dict[str, tuple[str, ...]]:
    """The words of each stage's command, in order."""
    taken = ("filter", "--frames", str(Workspace(root).frames))
    rest = ("dedup", "rank", "screen", "generate", "train", "evaluate")
    return {"render": ("miniature", "render"), "filter": taken} | {stage: (stage,) for stage in rest}


def trial(root: Path, kills: int, seed: int) -> list[str]:
    """Differences between undisturbed stages and those that were killed, `kills` times each."""
    begin()
    server = TemporaryServer()
    os.environ["PREFECT_API_URL"] = server.url
    server.start()
    server.wait()
    multiprocessing.set_forkserver_preload(["deployments.cli", "flows.pipeline", "torch"])
    draw, found = random.Random(seed), list[str]()
    root.mkdir()
    for stage in commands(root):
        before = root.with_name("before")
        shutil.copytree(root, before)
        finish(root, stage)
        expected, seconds = ended(root), duration(root, stage)
        after = root.rename(root.with_name("after"))
        moments, differ = list[float](), list[str]()
        for number in range(kills):
            moments.append(kill(root, before, stage, seconds * (number + draw.random()) / kills))
            finish(root, stage)
            differ += differences(expected, ended(root))
        shutil.rmtree(root)
        shutil.rmtree(before)
        after.rename(root)
        struck = ", ".join(f"{moment:.2f}" for moment in moments)
        say(f"{stage}: {seconds:.1f} s; killed after {struck} s; {', '.join(differ) or 'the same rows and files'}")
        found += differ
    return found


def kill(root: Path, before: Path, stage: str, moment: float) -> float:
    """Starts a stage on a copy of what was there before it, and kills it so many seconds after it has begun its work.

    Returns the moment, which is an earlier one where the stage was faster this time.
    """
    while True:
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(before, root)
        if Workspace(root).store.exists():
            with store.writing(Workspace(root).store) as con:
                renew(con)  # Prefect has seen this stage done, and must not remember
        idle, process = holder(root), start(root, stage)
        while holder(root) == idle and process.is_alive():
            time.sleep(0.002)
        process.join(moment)
        if process.is_alive():
            kill_all(process.pid or 0)
            process.join()
            if stage not in stages(Workspace(root)):
                return moment
        moment *= SHORTER


def finish(root: Path, stage: str) -> None:
    process = start(root, stage)
    process.join(DEADLINE)
    if process.exitcode:
        raise RuntimeError(f"{stage} ended with status {process.exitcode}: see {root.with_suffix('.log')}")


def start(root: Path, stage: str) -> ForkServerProcess:
    process = multiprocessing.get_context("forkserver").Process(target=_run, args=(root, stage))
    process.start()
    return process


def _run(root: Path, stage: str) -> None:
    """A command in a process group of its own."""
    os.setsid()
    with root.with_suffix(".log").open("ab") as log:
        for stream in (1, 2):
            os.dup2(log.fileno(), stream)
    settings = [word for setting in SETTINGS for word in ("--set", setting)]
    sys.argv = ["wmsd", *commands(root)[stage], "--workspace", str(root), *settings]
    from deployments.cli import main as wmsd

    wmsd()


def holder(root: Path) -> str:
    """What the lock of the workspace says: another text as soon as a stage begins."""
    lock = Workspace(root).lock
    return lock.read_text(encoding="utf-8") if lock.exists() else ""


def duration(root: Path, stage: str) -> float:
    with store.reading(Workspace(root).store) as con:
        return con.execute("SELECT seconds FROM stage_runs WHERE stage = ?", [stage]).fetchall()[0][0]


def ended(root: Path) -> dict[str, list[Any]]:
    """What a stage has ended with: rows, hashes, and the names of all files but those of TensorBoard, which are
    called after time and process."""
    names = sorted(str(path.relative_to(root)) for path in root.rglob("*") if "tfevents" not in path.name)
    return content(Workspace(root)) | {"names": names}


if __name__ == "__main__":
    main(__doc__, "kills", trial)
