"""The miniature's base weights, made from nothing."""

from pathlib import Path

from prefect import task

from tasks.bookkeeping import Summary
from tasks.progress import progress
from wmsd_core.generators.miniature import MiniatureGenerator
from wmsd_core.miniature import exam
from wmsd_core.miniature.pretrain import PretrainConfig, Progress, save
from wmsd_core.miniature.pretrain import pretrain as training

QUESTIONS = 400
"""Boards of the exam that the result sits."""


@task(name="pretrain network")
def pretrain(output: Path, config: PretrainConfig) -> Summary:
    """Trains, saves by a temporary name, and examines what was saved."""
    last: Progress | None = None
    with progress("pretrain", key="pretraining") as report:
        for last in training(config):
            report(last.samples, config.samples)
    assert last is not None  # the configuration has at least one step
    output.parent.mkdir(parents=True, exist_ok=True)
    save(last.network, output, {"config": config.model_dump_json()})
    return {"output": str(output), "samples": last.samples, "loss": last.loss} | examine(output)


def examine(weights: Path) -> Summary:
    """Shares of passed boards with right solutions, and with short tasks, in 4 steps."""
    model = MiniatureGenerator.load(weights)
    paper = exam.write(QUESTIONS, seed=1)
    shares = {
        telling: exam.shares(exam.sit(model, paper, telling, steps=4, adapter=None)) for telling in ("clean", "short")
    }
    return {f"{telling}/{name}": share for telling, row in shares.items() for name, share in row.items()}
