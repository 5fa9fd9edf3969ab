"""Breaks parts of a pipeline while it runs: it must end well, at the latest when it is started once more, as one left alone.

    python -m tests.flows.chaos --runs 10

In turn: the training process is killed, Prefect's temporary server is killed, another program holds the store, no file can
grow (as on a full disk), the whole command is killed. Each strikes some time after a stage that is drawn. `tests/deployments`
does the like to what `wmsd up` serves, and `tests/vlm` to a model's server.
"""

import os
import random
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import cycle, islice
from pathlib import Path

import psutil

from tests.flows.kill import content, differences, finish, main, say, stages, start
from wmsd_core import store
from wmsd_core.workspace import Workspace

HELD = 10.0
"""Seconds for which a fault lasts that passes."""
DEADLINE = 900.0
STAGES = 7
"""Of the pipeline, before the last ones."""

Strike = Callable[[subprocess.Popen[bytes], Path], str]
"""Does the harm; returns what was done, '' where there was nothing to harm at this moment."""


def kill_part(word: str) -> Strike:
    """Kills the process below the command that has a word in its command line."""

    def strike(command: subprocess.Popen[bytes], _: Path) -> str:
        for child in psutil.Process(command.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                if word in child.cmdline():
                    child.kill()
                    return f"{word} was killed"
        return ""

    return strike


def hold_store(_: subprocess.Popen[bytes], root: Path) -> str:
    """Another program has the store open."""
    held = f"import duckdb, time; con = duckdb.connect({str(Workspace(root).store)!r}); time.sleep({HELD})"
    while Workspace(root).store.exists():
        if not subprocess.run([sys.executable, "-c", held], stderr=subprocess.DEVNULL).returncode:
            return f"the store was held for {HELD:.0f} s"
    return ""


def fill_disk(command: subprocess.Popen[bytes], _: Path) -> str:
    """No file of the command or of what is below it can be written to any more, for a while."""
    whole = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    tree = [psutil.Process(command.pid), *psutil.Process(command.pid).children(recursive=True)]
    for limit in ((0, resource.RLIM_INFINITY), whole):
        for process in tree:
            with suppress(psutil.NoSuchProcess, ProcessLookupError):
                resource.prlimit(process.pid, resource.RLIMIT_FSIZE, limit)
        time.sleep(HELD / 2)
    return f"no file could grow for {HELD / 2:.0f} s"


def kill_command(command: subprocess.Popen[bytes], _: Path) -> str:
    """Server and training, if any, must notice that it is gone; `tests.flows.kill` kills them too."""
    os.killpg(command.pid, 9)
    return "the command was killed"


FAULTS: tuple[Strike, ...] = (
    kill_part("wmsd_core.training"),
    kill_part("deployments.server"),
    hold_store,
    fill_disk,
    kill_command,
)


def strike_once(root: Path, fault: Strike, after: int, pause: float) -> str:
    """Starts a pipeline, strikes `pause` seconds after so many stages, or when there is something to strike, and tells."""
    command = start(root)
    done, deadline = "", time.monotonic() + DEADLINE
    while len(finished := _finished(root)) < after and command.poll() is None:
        time.sleep(0.5)
    time.sleep(pause)
    while not done and command.poll() is None and time.monotonic() < deadline:
        with suppress(psutil.NoSuchProcess):
            done = fault(command, root)
        time.sleep(0.1)
    status = command.wait(DEADLINE)
    when = f"{pause:.1f} s after {finished[-1] if finished else 'the start'}"
    told = f"{done or 'there was nothing to strike'}, {when}: status {status}"
    if status:
        finish(root)  # raises where a second start does not end well
        told += ", and well when it was started again"
    return told


def _finished(root: Path) -> list[str]:
    with suppress(store.StoreError):  # it is being made
        return stages(Workspace(root))
    return []


def trial(root: Path, runs: int, seed: int) -> list[str]:
    """Differences between an undisturbed run and those that were struck."""
    seconds = finish(root)
    expected = content(Workspace(root))
    shutil.rmtree(root)
    say(f"undisturbed: {seconds:.0f} s, {sum(map(len, expected.values()))} rows and files")
    draw, found = random.Random(seed), list[str]()
    for fault in islice(cycle(FAULTS), runs):
        told = strike_once(root, fault, draw.randrange(STAGES), draw.uniform(0, 4))
        differ = differences(expected, content(Workspace(root)))
        say(f"{told}; {', '.join(differ) or 'the same rows and files'}")
        found += differ
        shutil.rmtree(root)
    return found


if __name__ == "__main__":
    main(__doc__, "runs", trial)
