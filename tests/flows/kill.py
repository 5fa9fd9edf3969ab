"""Kills a pipeline run outright, again and again, and compares what it ends with to a run that was left alone.

    python -m tests.flows.kill --kills 10

Each time everything (command, temporary server, training) is killed with SIGKILL at a random moment, and the same command is
run again, until it finishes. Store, pictures, videos and adapter must be those of the undisturbed run.
"""

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from wmsd_core import store
from wmsd_core.workspace import Workspace

SETTINGS = (
    "render.n=80",
    "train.steps=12",
    "train.tasks_per_step=8",
    "train.group_size=2",
    "train.checkpoint_every=2",
    "evaluate.tasks=24",
    "evaluate.batch=8",
    "split.bench_fraction=0.2",
)


PIPELINE = ("pipeline", *(word for setting in SETTINGS for word in ("--set", setting)))


def start(root: Path, *words: str) -> subprocess.Popen[bytes]:
    """A command, the pipeline if none is named, in a process group of its own."""
    words = words or PIPELINE
    command = [sys.executable, "-c", "from deployments.cli import main; main()", *words, "--workspace", str(root)]
    with root.with_suffix(".log").open("ab") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)


def finish(root: Path, *words: str) -> float:
    """Runs to the end; returns the seconds it took."""
    started = time.monotonic()
    if status := start(root, *words).wait():
        raise RuntimeError(f"{(words or PIPELINE)[0]} ended with status {status}: see {root.with_suffix('.log')}")
    return time.monotonic() - started


def kill(root: Path, after: float) -> str | None:
    """Starts, kills everything after so many seconds, and names the finished stages; None if the run ended before."""
    return " ".join(stages(Workspace(root))) or "none" if struck(root, after) else None


def struck(root: Path, after: float, *words: str) -> bool:
    """Starts, and kills everything after so many seconds; False if the run ended before."""
    process = start(root, *words)
    try:
        process.wait(after)
    except subprocess.TimeoutExpired:
        kill_all(process.pid)
        process.wait()
        return True
    return False


def kill_all(pid: int) -> None:
    """SIGKILL to a command and to all below it, which has process groups of its own: as a machine that loses its power."""
    below = psutil.Process(pid).children(recursive=True)
    os.killpg(pid, signal.SIGKILL)
    for process in below:
        with suppress(psutil.NoSuchProcess):
            process.kill()


def stages(place: Workspace) -> list[str]:
    if not place.store.is_file():
        return []
    with store.reading(place.store) as con:
        return [row["stage"] for row in store.query(con, "SELECT stage FROM stage_runs ORDER BY started")]


UNTIMED = "COLUMNS(lambda name: name <> 'seconds')"
"""All columns of a table but durations, which no two runs share."""


def untimed(record: Any) -> Any:
    """Plain JSON without its durations."""
    if isinstance(record, dict):
        return {key: untimed(value) for key, value in record.items() if "seconds" not in key}
    return [untimed(value) for value in record] if isinstance(record, list) else record


def content(place: Workspace) -> dict[str, list[Any]]:
    """Every row of the store but times, stamps of files and its own id; the hash of every picture, video and adapter."""
    with store.reading(place.store) as con:
        tables = [row["name"] for row in store.query(con, "SELECT table_name AS name FROM information_schema.tables")]
        rows: dict[str, list[Any]] = {
            table: con.execute(f"SELECT {UNTIMED} FROM {table} ORDER BY ALL").fetchall() for table in tables
        }
        rows["frames"] = con.execute("SELECT * EXCLUDE (stamp) FROM frames ORDER BY ALL").fetchall()
        rows["stage_runs"] = con.execute("SELECT stage, cache_key, config FROM stage_runs ORDER BY ALL").fetchall()
        records = con.execute("SELECT evaluation_id, benchmark, record FROM evaluation_runs ORDER BY ALL").fetchall()
        rows["evaluation_runs"] = [(*named, untimed(json.loads(record))) for *named, record in records]
    del rows["workspace"]
    rows["training_steps"] = [row for row in rows["training_steps"] if not row[2].startswith(("seconds/", "speed/"))]
    files = [*place.frames.rglob("*"), *place.videos.rglob("*.png"), *place.training.rglob("adapter/**/*")]
    rows["hashes"] = sorted(hashlib.sha256(file.read_bytes()).hexdigest() for file in files if file.is_file())
    return rows


def differences(one: dict[str, list[Any]], other: dict[str, list[Any]]) -> list[str]:
    """Names of the tables that differ, with how many rows each has."""
    names = sorted(one.keys() | other.keys())
    return [f"{name}: {len(one[name])} and {len(other[name])} rows" for name in names if one[name] != other[name]]


def trial(root: Path, kills: int, seed: int) -> list[str]:
    """Differences between an undisturbed run and runs in the same folder that are killed, `kills` times in all.

    A killed run is taken up again, and killed again, until it finishes before its moment has come; then it is compared, and
    a new one begun.
    """
    seconds = finish(root)
    expected = content(Workspace(root))
    shutil.rmtree(root)
    say(f"undisturbed: {seconds:.0f} s, {sum(map(len, expected.values()))} rows and files")
    draw, found = random.Random(seed), list[str]()
    while kills:
        # Starting the command takes some seconds, in which there is nothing to lose.
        moment = draw.uniform(min(10, 0.2 * seconds), seconds)
        if (done := kill(root, moment)) is not None:
            kills -= 1
            say(f"killed after {moment:.1f} s; finished stages: {done}")
        if done is None or not kills:
            found += compare(root, expected)
    return found


def compare(root: Path, expected: dict[str, list[Any]]) -> list[str]:
    """Finishes the run, compares, and clears the folder."""
    seconds = finish(root)
    found = differences(expected, content(Workspace(root)))
    say(f"finished in {seconds:.0f} s: {', '.join(found) or 'the same rows and files'}")
    shutil.rmtree(root)
    return found


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main(description: str | None, counted: str, trial: Callable[[Path, int, int], list[str]]) -> None:
    """A trial as a program: how often, which seed; its status is 1 where anything differs."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(f"--{counted}", type=int, default=10, dest="number")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["PREFECT_HOME"] = f"{folder}/prefect"
        found = trial(Path(folder, "workspace"), arguments.number, arguments.seed)
    sys.exit("\n".join(found) or 0)


if __name__ == "__main__":
    main(__doc__, "kills", trial)
