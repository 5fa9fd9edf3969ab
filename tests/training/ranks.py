"""What two processes learn in one step: `torchrun --nproc-per-node 2 -m tests.training.ranks FOLDER`.

Writes the gradients and metrics of each case. Without torchrun the same cases run in one process.
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch.distributed.tensor import DTensor

from tests.training.toy import ToyGenerator, ToyJudge, write_run
from wmsd_core.training.config import TrainConfig
from wmsd_core.training.distributed import World, join
from wmsd_core.training.held_out import HeldOut
from wmsd_core.training.loop import Trainer

SETTINGS: dict[str, Any] = {
    "tasks_per_step": 4,
    "group_size": 3,
    "sampler_steps": 2,
    "micro_batch": 5,
    "anchor_states": 2,
    "awm": {"times": 2},
    "adapter": {"rank": 4, "alpha": 8},
    "optimizer": {"max_grad_norm": 1e9},
    "seed": 3,
}
CASES: dict[str, dict[str, Any]] = {
    "full": {"arm": "full", "anchor_weight": 0.5},
    "rl": {"arm": "rl", "rewards": {"aggregation": "sum"}},
    "anchor": {"arm": "anchor"},
    "off_policy": {"arm": "off_policy"},
    "grpo": {"reinforcement": "grpo", "sampler_steps": 3, "grpo": {"window": "scattered", "kl_base": 0.1}},
    "nft": {"arm": "anchor_reward", "reinforcement": "nft", "rewards": {"distillation": 1, "distillation_floor": 1e-9}},
    "off_policy_rl": {"arm": "off_policy_rl", "awm": {"times": 2, "drawn": "uniform"}},
    "dmd": {"arm": "dmd"},
    "recall": {"arm": "anchor", "recall": {"tasks": 4}},
    "vetted": {"recall": {"tasks": 6}, "vet_demonstrator": True, "seed": 5},
}


def gradients(folder: Path, world: World) -> None:
    """One step of each case, as `world` says."""
    for name, case in CASES.items():
        config = TrainConfig.model_validate(SETTINGS | case)
        generator = Blocks() if world.sharded else ToyGenerator()
        examples = write_run(folder / f"run-{world.rank}", config)
        run = Trainer(config, generator, examples, ToyJudge(), world=world)
        row = run.step()
        tried = HeldOut(run, examples[:6], ToyJudge()).scores()
        if world.leads:
            kind = "sharded" if world.sharded else "whole"
            found = {
                f"{adapter}.{key}": weight.grad
                for adapter, weights in run.adapters.items()
                for key, weight in weights.items()
                if weight.grad is not None
            }
            save_file(found, folder / f"{name}-{kind}-{world.size}.safetensors")
            report = row | {"seconds": None, "speed": None, "held": held(generator.network), "tried": tried}
            (folder / f"{name}-{kind}-{world.size}.json").write_text(json.dumps(report))


def held(network: torch.nn.Module) -> float:
    """The share of the base's weights that this process holds."""
    base = [weight for name, weight in network.named_parameters() if "lora_" not in name]
    local = [weight.to_local() if isinstance(weight, DTensor) else weight for weight in base]
    return sum(weight.numel() for weight in local) / sum(weight.numel() for weight in base)


class Blocks(ToyGenerator):
    """The toy with its linears in a ModuleList, as transformers keep their blocks, each a unit of sharding. As there, a
    block has a list of its own."""

    lora_targets = ("net.0",)

    def __init__(self) -> None:
        super().__init__()
        toy = self.network
        self.network = _Blocked(toy).requires_grad_(False)


class _Block(torch.nn.Module):
    def __init__(self, linear: torch.nn.Module) -> None:
        super().__init__()
        self.net = torch.nn.ModuleList([linear])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net[0](x)


class _Blocked(torch.nn.Module):
    def __init__(self, toy: torch.nn.Module) -> None:
        super().__init__()
        linears: list[Any] = [toy.inner, toy.outer]
        self.blocks = torch.nn.ModuleList([_Block(linear) for linear in linears])

    def forward(self, x: torch.Tensor, sigma: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
        inner, outer = self.blocks
        return outer(torch.tanh(inner(torch.cat([x.flatten(1), sigma[:, None], words], 1)))).view_as(x)


if __name__ == "__main__":
    torch.set_num_threads(1)
    with join(shard=False) as joined:
        target = Path(sys.argv[1])
        gradients(target, joined)
        gradients(target, World(joined.rank, joined.size, sharded=True))
