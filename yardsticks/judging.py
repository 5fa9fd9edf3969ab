"""Judging at length: `python -m yardsticks.judging`. Is anything judged twice, and does memory stay flat?

2,000 videos with three questions each, put to a scripted model server on loopback by a process of its own that is killed twice
on the way (SIGKILL, nothing said before). The server counts which requests it has answered in full, and how often.

An answer that had been kept is not asked for again. One that the server had sent, and the process had not yet written down when
it was killed, is: no more than there were requests under way. Each process that asks anything also asks the judge's probe.

    --videos 2000 --kill 0.2 0.45
"""

import argparse
import json
import math
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import psutil

from tests.bench.synthetic import build
from tests.bench.tiny import FadeGenerator
from tests.vlm.server import Asked, Behaviour, ScriptedServer, said
from wmsd_core import store
from wmsd_core.bench.evaluation import EvaluateConfig, Evaluation
from wmsd_core.bench.generation import generate_videos
from wmsd_core.bench.judging import judge_videos
from wmsd_core.vlm import Question
from wmsd_core.vlm.probe import QUESTION as PROBE
from wmsd_core.vlm.server import ServerVLM
from wmsd_core.vlm.settings import ServerConfig

MIB = 2**20
WARM = 5
"""Batches after which memory is compared."""
SETTLED = 0.5
"""Seconds after a kill in which the server notices that nobody listens any more."""
CONFIG = EvaluateConfig(steps=1, arms=("base",))


@dataclass(frozen=True)
class Measured:
    """What came of it."""

    judgments: int
    """Verdicts in the store."""
    answered: int
    """Requests that the server answered, over all runs."""
    twice: int
    """Of them, those about a video that it had answered before."""
    under_way: int
    """Answers that it had sent and that a killed process had not written down, over all kills."""
    probes: int
    """Of `answered`, those to the probe."""
    seconds: float
    """Of the last run, which had no kill."""
    growth: float
    """MiB that it grew by, from the fifth batch to its most."""
    second: int
    """Requests of one more run."""


def child(folder: Path, address: str, videos: int) -> None:
    """Judges what is missing, and writes down how much memory is in use after each batch."""
    vlm = ServerVLM(ServerConfig(base_url=address), folder / "requests.db")
    used: list[float] = []
    ask = vlm.log_odds

    def measured(questions: Sequence[Question], media: Sequence[np.ndarray]) -> object:
        answers = ask(questions, media)
        used.append(psutil.Process().memory_info().rss / MIB)
        (folder / "memory.json").write_text(json.dumps(used))
        return answers

    vlm.log_odds = measured
    config = CONFIG.model_copy(update={"tasks": videos})
    judge_videos(
        folder / "wmsd.duckdb", vlm, Evaluation(config=config, model="fade-weights", adapter="", judge=vlm.judge)
    )
    vlm.close()


def measure(folder: Path, videos: int, kills: Sequence[float]) -> Measured:
    """Builds the videos, judges them with kills at these shares of the requests, and once more."""
    path = build(folder, until="generate", frames=5 * videos // 3 + 60)
    config = CONFIG.model_copy(update={"tasks": videos})
    generate_videos(
        path, folder / "videos", FadeGenerator(), Evaluation(config=config, model="fade-weights", adapter="", judge="")
    )
    with store.reading(path) as con:
        made = store.query(con, "SELECT count(*) AS made FROM videos")[0]["made"]
    if made != videos:
        raise ValueError(f"{made} videos were made, not {videos}")
    answered: Counter[str] = Counter()
    probes = under_way = 0

    def script(asked: Asked) -> Behaviour:
        answer = said("yes", listed={"token_id:11": math.log(0.9), "token_id:13": math.log(0.1)})

        async def send(writer: object) -> None:
            nonlocal probes
            await answer(writer)  # pyright: ignore[reportArgumentType]
            if PROBE.text in asked.words:
                probes += 1
                return
            answered[json.dumps(asked.body["messages"])[-200_000:]] += 1

        return send

    with ScriptedServer(script) as server:
        for share in kills:
            with _begun(folder, server.base_url, videos) as process:
                while answered.total() < share * 3 * videos:
                    time.sleep(0.02)
                os.kill(process.pid, signal.SIGKILL)
                process.wait()
            time.sleep(SETTLED)
            under_way = answered.total() - _kept(
                folder / "requests.db"
            )  # those of the kills before were asked for again
        start = time.perf_counter()
        _finish(folder, server.base_url, videos)
        seconds, before = time.perf_counter() - start, answered.total() + probes
        used = json.loads((folder / "memory.json").read_text())
        twice = sum(count - 1 for count in answered.values())
        _finish(folder, server.base_url, videos)
    with store.reading(path) as con:
        stored = store.query(con, "SELECT count(*) AS n FROM judgments WHERE verdict")[0]["n"]
    return Measured(
        judgments=stored,
        answered=before,
        twice=twice,
        under_way=under_way,
        probes=probes,
        seconds=seconds,
        growth=max(used) - used[min(WARM, len(used) - 1)],
        second=answered.total() + probes - before,
    )


def _kept(log: Path) -> int:
    """Answers about videos that are written down."""
    with closing(sqlite3.connect(log)) as db:
        return db.execute("SELECT count(*) FROM answers WHERE purpose <> ?", [PROBE.asked]).fetchone()[0]


def _begun(folder: Path, address: str, videos: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "yardsticks.judging", "--child", str(folder), address, str(videos)])


def _finish(folder: Path, address: str, videos: int) -> None:
    with _begun(folder, address, videos) as process:
        if process.wait():
            raise RuntimeError("the judging process failed; its words are above")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=int, default=2000)
    parser.add_argument("--kill", type=float, nargs="*", default=[0.2, 0.45])
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        child(Path(given.child[0]), given.child[1], int(given.child[2]))
    else:
        with TemporaryDirectory() as scratch:
            found = measure(Path(scratch), given.videos, given.kill)
        print(f"verdicts {found.judgments}, answered {found.answered}, {found.probes} of them to the probe")
        print(f"answered before {found.twice}, of {found.under_way} that were under way at a kill")
        print(f"last run {found.seconds:.1f} s, memory +{found.growth:.1f} MiB; a second run asks {found.second}")
