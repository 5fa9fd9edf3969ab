"""How a training run is started: one process, or several under torchrun."""

import sys
from pathlib import Path

from pydantic import Field

from wmsd_core.config import Config
from wmsd_core.training.tracking import Tracker

GRACE = 600
"""Seconds that torchrun waits for its processes to finish their step and write a checkpoint when it is told to stop."""


class LaunchConfig(Config):
    """Processes of a training run. They change speed and memory; results agree up to rounding."""

    processes: int = Field(default=1, ge=1)
    """Processes on each machine, one per GPU; train.tasks_per_step must be a multiple of all together."""
    nodes: int = Field(default=1, ge=1)
    """Machines that share the run, and its folder. The same command is given on each."""
    rendezvous: str = ""
    """HOST:PORT of one of several machines, where all of them meet."""
    shard: bool = False
    """Split the frozen base over the processes (FSDP2), for one that does not fit on one GPU. Each process reads all of it
    into the memory of the CPU first."""
    tracker: Tracker = "tensorboard"
    """Where curves and sample videos go: tensorboard (in the run's folder), wandb, trackio or none. Any but the first and
    the last need their own package."""

    @property
    def world(self) -> int:
        """Processes of all machines together."""
        return self.processes * self.nodes


def command(folder: Path, launch: LaunchConfig, features: Path | None = None) -> list[str]:
    """The command that trains in `folder`, and stops with a checkpoint when its standard input ends.

    Raises:
        ValueError: the base is to be split over a single process, or several machines have no place to meet.
    """
    if launch.shard and launch.world == 1:
        raise ValueError("launch.shard splits the base over several processes: set launch.processes to 2 or more")
    options = ["--with-parent", f"--tracker={launch.tracker}", *(["--shard"] if launch.shard else [])]
    options += [f"--features={features}"] if features else []
    module = ["-m", "wmsd_core.training", *options, str(folder)]
    if launch.world == 1:
        return [sys.executable, *module]
    meeting = ["--standalone"]
    if launch.nodes > 1:
        if not launch.rendezvous:
            raise ValueError("launch.nodes needs a place where the machines meet: set launch.rendezvous to HOST:PORT")
        meeting = [f"--nnodes={launch.nodes}", "--rdzv-backend=c10d", f"--rdzv-endpoint={launch.rendezvous}"]
        meeting += [f"--rdzv-id={folder.name}"]
    torchrun = ["-m", "torch.distributed.run", *meeting, "--nproc-per-node", str(launch.processes)]
    return [sys.executable, *torchrun, "--shutdown-timeout", str(GRACE), *module]
