"""The miniature's base weights, made from nothing."""

from pathlib import Path

from prefect import task

from tasks.bookkeeping import Summary
from tasks.progress import progress
from wmsd_core.miniature import pretrain_ltx2
from wmsd_core.miniature.generator import MiniatureGenerator
from wmsd_core.miniature.pretrain import PretrainConfig, make
from wmsd_core.miniature.pretrain_ltx2 import PretrainLtx2Config


@task(name="pretrain network")
def pretrain(output: Path, config: PretrainConfig) -> Summary:
    """Trains, examines and saves the network; the file appears at the end."""
    output.parent.mkdir(parents=True, exist_ok=True)
    clips = config.samples * config.rounds
    with progress("pretrain", key="pretraining") as report:
        for step in make(output, config):
            report(min(step.samples, clips), clips)
    return {"output": str(output), "samples": clips, "checksum": MiniatureGenerator.load(output).checksum}


@task(name="pretrain LTX-2")
def pretrain_pipeline(folder: Path, config: PretrainLtx2Config, questions: int) -> Summary:
    """Trains and examines the miniature's LTX-2; the folder can be read by diffusers once it has ended."""
    folder.mkdir(parents=True, exist_ok=True)
    with progress("pretrain", key="pretraining") as report:
        for step in pretrain_ltx2.make(folder, config):
            report(step.samples, config.samples)
    scores = pretrain_ltx2.examine(folder, questions, seed=config.seed)
    solved = {telling: shares["all"] for telling, shares in scores.items()}
    return {"output": str(folder), "samples": config.samples, "tasks": questions, **solved}
