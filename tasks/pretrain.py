"""The miniature's base weights, made from nothing."""

from pathlib import Path

from prefect import task

from tasks.bookkeeping import Summary
from tasks.progress import progress
from wmsd_core.miniature.generator import MiniatureGenerator
from wmsd_core.miniature.pretrain import PretrainConfig, make


@task(name="pretrain network")
def pretrain(output: Path, config: PretrainConfig) -> Summary:
    """Trains, examines and saves the network; the file appears at the end."""
    output.parent.mkdir(parents=True, exist_ok=True)
    clips = config.samples * config.rounds
    with progress("pretrain", key="pretraining") as report:
        for step in make(output, config):
            report(min(step.samples, clips), clips)
    return {"output": str(output), "samples": clips, "checksum": MiniatureGenerator.load(output).checksum}
