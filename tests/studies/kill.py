"""Kills a study outright, again and again, and compares its results to those of one that was left alone.

    python -m tests.studies.kill --kills 10

Each time everything (command, temporary server, trainings) is killed with SIGKILL at a random moment, and the same command is
run again, until it finishes. Every verdict and every adapter must be that of the undisturbed study.
"""

import json
import random
import shutil
from pathlib import Path
from typing import Any

from tests.flows.kill import finish, main, say, struck, untimed
from tests.miniature.tasks import with_tasks
from wmsd_core.workspace import Workspace

STUDY = """
title: Small
recipe: miniature
seeds: [3]
every: 2
selection: 8
test: 8
settings: {train.steps: 4, train.tasks_per_step: 4, train.group_size: 2, train.sampler_steps: 2, train.checkpoint_every: 1,
           evaluate.steps: 2, evaluate.controls: 0, render.n: 60, split.bench_fraction: 0.4, models.planner.errors: 0.5}
reference: demonstrator
arms:
  demonstrator: {role: demonstrator}
  full: {settings: {train.arm: full}}
  anchor: {settings: {train.arm: anchor, train.sampler_steps: 3, evaluate.steps: 3}}
"""


def write(file: Path, steps: int = 4) -> Path:
    file.parent.mkdir(exist_ok=True)
    file.write_text(STUDY.replace("train.steps: 4", f"train.steps: {steps}"))
    return file


def content(file: Path) -> list[Any]:
    """Every line of the results but its durations, in any order: arms finish as they come."""
    lines = file.with_suffix(".jsonl").read_text().splitlines()
    return sorted((untimed(json.loads(line)) for line in lines), key=str)


def trial(root: Path, kills: int, seed: int) -> list[str]:
    """Differences between a study that was left alone and studies that are killed, `kills` times in all.

    A killed study is taken up again, and killed again, until it finishes before its moment has come; then it is compared, and
    a new one begun.
    """
    with_tasks(Workspace(root), pictures=60, errors=0.5)
    untouched = shutil.copytree(root, root.with_name("untouched"))
    seconds = finish(root, "study", str(write(root.parent / "alone" / "small.yaml")))
    expected = content(root.parent / "alone" / "small.yaml")
    say(f"left alone: {seconds:.0f} s, {len(expected)} lines of results")
    draw, found = random.Random(seed), list[str]()
    while kills:
        shutil.rmtree(root)
        shutil.copytree(untouched, root)
        shutil.rmtree(root.parent / "killed", ignore_errors=True)
        file = write(root.parent / "killed" / "small.yaml")
        while kills:
            moment = draw.uniform(0.2 * seconds, seconds)
            if not struck(root, moment, "study", str(file)):
                break
            kills -= 1
            results = file.with_suffix(".jsonl")
            say(
                f"killed after {moment:.1f} s; {len(content(file)) if results.exists() else 0} lines of results were written"
            )
        finish(root, "study", str(file))
        differs = content(file) != expected
        say(f"finished: {'other results' if differs else 'the same verdicts and adapters'}")
        found += ["the results differ"] * differs
    return found


if __name__ == "__main__":
    main(__doc__, "kills", trial)
