"""Thousands of damaged, hostile and unusual inputs through the real code: what became of them, and what memory they took.

    python -m yardsticks.fuzz                      # 5,000 images, 1,000 videos, 2,000 lines, 2,000 replies of a server
    python -m yardsticks.fuzz --seed 7 --only lines

They are made by `tests/fuzz.py` and `tests/frames/fuzz.py`. Each kind runs in a process of its own, so that a crash of a
decoder is seen as one, in rounds with a folder and a store of their own: the memory after the first and after the last one
tells whether it grows with the number of inputs.
"""

import argparse
import gc
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil

from deployments import start
from tests.fuzz import KINDS

SIZES = {"images": 5000, "videos": 1000, "lines": 2000, "replies": 2000}
ROUNDS = 10


def work(kind: str, count: int, seed: int) -> None:
    """All rounds of a kind; prints a line of JSON after each."""
    start.begin()  # with the heaps that every process of the program has
    for number in range(ROUNDS):
        with tempfile.TemporaryDirectory(prefix="wmsd-fuzz-") as name:
            fates = KINDS[kind](Path(name) / "round", count // ROUNDS, seed + number)
        gc.collect()
        print(json.dumps({"fates": fates, "mib": psutil.Process().memory_info().rss / 2**20}), flush=True)


def watched(kind: str, count: int, seed: int) -> dict[str, Any]:
    """What a process found that did the work: fates, seconds, MiB after the first, the middle and the last round.

    Raises:
        RuntimeError: it crashed, or an input was lost.
    """
    started = time.monotonic()
    command = [sys.executable, "-m", "yardsticks.fuzz", "--work", kind, str(count), str(seed)]
    process = subprocess.run(command, capture_output=True, text=True)
    if process.returncode:
        raise RuntimeError(f"{kind}, seed {seed}: status {process.returncode}\n{process.stderr[-5000:]}")
    rounds = [json.loads(line) for line in process.stdout.splitlines()]
    fates = Counter[str]()
    for one in rounds:
        fates.update(one["fates"])
    memory = [one["mib"] for one in rounds]
    return {"fates": fates, "seconds": time.monotonic() - started, "memory": memory}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=SIZES, nargs="+", default=list(SIZES))
    parser.add_argument("--work", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        kind, count, seed = options.work
        work(kind, int(count), int(seed))
        return
    for kind in options.only:
        found = watched(kind, SIZES[kind], options.seed)
        first, middle, last = (found["memory"][at] for at in (0, ROUNDS // 2, -1))
        print(f"\n{found['fates'].total()} {kind}, {found['seconds']:.0f} s; {first:.0f}, {middle:.0f}, {last:.0f} MiB")
        for fate, number in found["fates"].most_common():
            print(f"{number:8} {fate}")


if __name__ == "__main__":
    main()
