"""Stops and kills a training run of two processes, again and again, and compares what it ends with to a run left alone.

    python -m tests.training.kill --kills 10

Each time SIGKILL or SIGTERM goes to all processes, to torchrun alone, or to one of the two ranks, at a random moment, and
the same command is run again, until it finishes. Adapter and metrics must be those of the undisturbed run, bit for bit.
"""

import argparse
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from tests.training.toy import write_run
from wmsd_core.training.config import TrainConfig
from wmsd_core.training.launch import LaunchConfig, command

CONFIG = TrainConfig.model_validate(
    {
        "steps": 150,
        "tasks_per_step": 2,
        "group_size": 2,
        "sampler_steps": 2,
        "awm": {"times": 1},
        "adapter": {"rank": 2, "alpha": 4},
        "checkpoint_every": 10,
    }
)
TARGETS = ("all", "torchrun", "rank 0", "rank 1")
LIMIT = 120.0
"""Seconds after which a run that does not end counts as hanging."""


class Run:
    """The command, as the training task starts it."""

    def __init__(self, folder: Path) -> None:
        with folder.with_suffix(".log").open("ab") as log:
            self.process = subprocess.Popen(
                command(folder, LaunchConfig(processes=2)),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
            )

    def wait(self, seconds: float = LIMIT) -> int:
        """Its status."""
        return self.process.wait(seconds)

    def ranks(self) -> dict[str, psutil.Process]:
        """The processes that train, by name; empty before torchrun has started them."""
        children = psutil.Process(self.process.pid).children()
        return {f"rank {child.environ()['RANK']}": child for child in children if "RANK" in child.environ()}

    def send(self, number: signal.Signals, target: str) -> str:
        """Sends a signal; returns to whom: to torchrun, where the rank does not exist yet."""
        # torchrun gives each rank a session of its own, so that no signal reaches all of them by itself.
        known = {"torchrun": psutil.Process(self.process.pid)} | self.ranks()
        hit = (
            known
            if target == "all"
            else {target: known[target]}
            if target in known
            else {"torchrun": known["torchrun"]}
        )
        for process in hit.values():
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)
        return ", ".join(hit)

    def end(self, left: Iterable[psutil.Process] = ()) -> None:
        """Waits for torchrun, closes standard input, as whoever started the run then does, and waits for all that is left."""
        self.process.wait(LIMIT)
        assert self.process.stdin
        self.process.stdin.close()
        _, alive = psutil.wait_procs(list(left), LIMIT)
        for process in alive:
            process.kill()
        if alive:
            raise RuntimeError(f"{len(alive)} processes outlived their run by {LIMIT:g} s")


def finish(folder: Path) -> float:
    """Runs to the end; returns the seconds it took."""
    started, run = time.monotonic(), Run(folder)
    if status := run.wait():
        raise RuntimeError(f"the run ended with status {status}: see {folder.with_suffix('.log')}")
    run.end()
    return time.monotonic() - started


def stop(folder: Path, number: signal.Signals, target: str, step: int, after: float) -> str | None:
    """Starts, sends the signal so many seconds after a step, and waits until nothing is left; None if the run ended before."""
    run = Run(folder)
    while steps(folder) < step and run.process.poll() is None:
        time.sleep(0.02)
    try:
        run.wait(after)
        run.end()
        return None
    except subprocess.TimeoutExpired:
        pass
    reached, started, ranks = steps(folder), time.monotonic(), run.ranks()
    hit = run.send(number, target)
    run.end(ranks.values())
    took = time.monotonic() - started
    return f"step {reached}: {number.name} to {hit}; all had ended {took:.1f} s later, at step {steps(folder)}"


def steps(folder: Path) -> int:
    return len(rows(folder))


def rows(folder: Path) -> list[Mapping[str, Any]]:
    """Metrics of all steps, without times."""
    path = folder / "metrics.jsonl"
    if not path.is_file():
        return []
    found = [json.loads(line) for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]
    return [{key: value for key, value in row.items() if key not in ("seconds", "speed")} for row in found]


def content(folder: Path) -> dict[str, Any]:
    """What a run leaves: every file of its adapter, and its metrics."""
    files = {path.name: path.read_bytes() for path in (folder / "adapter").iterdir()}
    return files | {"metrics": json.dumps(rows(folder))}


def trial(root: Path, kills: int, seed: int) -> list[str]:
    """Names of what differs between an undisturbed run and runs that are stopped and killed, `kills` times in all."""
    straight, broken = root / "straight", root / "broken"
    write_run(straight, CONFIG)
    seconds = finish(straight)
    expected = content(straight)
    say(f"undisturbed: {seconds:.0f} s, {len(rows(straight))} steps; seed {seed}")
    draw, found = random.Random(seed), list[str]()
    while kills:
        if not broken.exists():
            write_run(broken, CONFIG)
        number, target = draw.choice((signal.SIGKILL, signal.SIGTERM)), draw.choice(TARGETS)
        # Every fourth time while it starts or loads its checkpoint, else after some more steps.
        ahead = draw.choice((0, 20, 50, 90))
        if (
            done := stop(broken, number, target, steps(broken) + ahead, draw.uniform(0, 0.2 if ahead else 15))
        ) is not None:
            kills -= 1
            say(done)
        if done is None or not kills:
            seconds_left = finish(broken)
            got = content(broken)
            differ = sorted(name for name in expected.keys() | got.keys() if expected.get(name) != got.get(name))
            say(f"finished in {seconds_left:.0f} s: {', '.join(differ) or 'the same bits'}")
            found += differ
            shutil.rmtree(broken)
    return found


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0, help="of signals, targets and moments")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = trial(Path(folder), arguments.kills, arguments.seed)
    sys.exit("differs: " + ", ".join(found) if found else 0)


if __name__ == "__main__":
    main()
