"""A base that is split, and a reduction, by NCCL in one process: `torchrun --nproc-per-node 1 -m yardsticks.nccl FILE`.

One GPU says nothing about the speed of several. It shows that the processes of a run meet, that a split base learns what a
whole one learns, and that gradients on the device are summed there. Without a GPU the same runs by gloo.
"""

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from PIL import Image as Pictures
from torch import Tensor

from wmsd_core.training.config import TrainConfig
from wmsd_core.training.distributed import ALONE, World, join
from wmsd_core.training.examples import Example
from wmsd_core.training.loop import Trainer
from yardsticks.ltx2_step import SIZES, TRAIN, RandomLtx2


def gradients(folder: Path, world: World) -> dict[str, Tensor]:
    """Of the Executor, in the first step of a tiny LTX-2, in the memory of the CPU."""
    size = SIZES["tiny"]
    Pictures.new("RGB", (size.width, size.height)).save(folder / "image.png")
    examples = [Example(pair_id="0", image=folder / "image.png", task="short", solution="a detailed solution")]
    generator = RandomLtx2.make(size, folder)
    trainer = Trainer(TrainConfig.model_validate(TRAIN), generator, examples, judge=None, world=world)
    trainer.step()
    return {name: weight.grad.cpu() for name, weight in trainer.adapters["policy"].items() if weight.grad is not None}


def main(out: Path) -> None:
    with join(shard=True) as world, tempfile.TemporaryDirectory() as folder:
        device = "cuda" if torch.cuda.is_available() else "cpu"
        split, whole = gradients(Path(folder), world), gradients(Path(folder), ALONE)
        scale = max(float(gradient.abs().max()) for gradient in whole.values())
        values = torch.ones(2**26 if device == "cuda" else 2**16, device=device)
        dist.all_reduce(values)
        start = time.perf_counter()
        dist.all_reduce(values)
        total = float(values.sum())
        found: dict[str, Any] = {
            "backend": dist.get_backend_config(),
            "processes": dist.get_world_size(),
            "gradients": len(whole),
            "largest_difference": max(float((split[name] - whole[name]).abs().max()) for name in whole) / scale,
            "reduced_gib_per_second": values.nbytes / 2**30 / (time.perf_counter() - start),
            "sum_is_right": total == dist.get_world_size() ** 2 * len(values),
        }
    out.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
