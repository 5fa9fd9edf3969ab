"""Several processes, one run: torchrun starts them, each takes whole groups, and what they learn is averaged.

Adapters are held by every process in full, and gradients are averaged once per optimizer step, so gradient accumulation
needs no care and a checkpoint does not know how many processes wrote it. The frozen base is held in full too, or split
over the processes by FSDP2 where it does not fit.
"""

import os
from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard


@dataclass(frozen=True)
class World:
    """The processes of a run, and which of them this is. Without arguments: a run of one."""

    rank: int = 0
    size: int = 1
    sharded: bool = False
    """The base is split, so that every process has to run every forward pass at the same time as the others."""

    @property
    def leads(self) -> bool:
        """Whether this process writes what one process writes for all."""
        return self.rank == 0

    def gather(self, values: Tensor, dim: int) -> Tensor:
        """The values of all processes, in order of rank, along `dim`; equal shapes everywhere."""
        if self.size == 1:
            return values
        parts = [torch.empty_like(values) for _ in range(self.size)]
        dist.all_gather(parts, values.contiguous())
        return torch.cat(parts, dim)

    def total(self, values: Tensor) -> Tensor:
        """The sum over all processes."""
        if self.size > 1:
            values = values.clone()
            dist.all_reduce(values)
        return values

    def largest(self, values: Tensor) -> Tensor:
        """The maximum over all processes."""
        if self.size > 1:
            values = values.clone()
            dist.all_reduce(values, dist.ReduceOp.MAX)
        return values

    def count(self, counts: Mapping[str, int]) -> dict[str, int]:
        """Counts by name, added up over all processes."""
        if self.size == 1:
            return dict(counts)
        parts: list[Mapping[str, int]] = [{}] * self.size
        dist.all_gather_object(parts, dict(counts))  # pickles, between processes of one run only
        return dict(sum((Counter(part) for part in parts), Counter[str]()))

    def average_gradients(self, weights: Iterable[nn.Parameter]) -> None:
        """Replaces each gradient by its mean over all processes. A missing one counts as zero."""
        if self.size == 1:
            return
        weights = list(weights)
        gradients = [torch.zeros_like(w) if w.grad is None else w.grad for w in weights]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        dist.all_reduce(flat)
        flat /= self.size
        for weight, gradient in zip(weights, flat.split([w.numel() for w in weights]), strict=True):
            weight.grad = gradient.view_as(weight)

    def barrier(self) -> None:
        """Waits until every process is here."""
        if self.size > 1:
            dist.barrier()


ALONE = World()
"""A run of one process."""


@contextmanager
def join(*, shard: bool) -> Generator[World]:
    """The world that torchrun has set up for this process; a run of one without it.

    Tensors on a GPU travel by NCCL, others by gloo.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1 and not shard:
        yield ALONE
        return
    if "WORLD_SIZE" not in os.environ:
        raise ValueError(
            "to split the base, start several processes: torchrun --nproc-per-node N -m wmsd_core.training"
        )
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        dist.init_process_group("cpu:gloo,cuda:nccl")
    else:
        dist.init_process_group("gloo")
    try:
        yield World(dist.get_rank(), size, shard)
    finally:
        dist.destroy_process_group()


def shard(network: nn.Module, world: World, whole: Iterable[nn.Parameter]) -> None:
    """Splits the weights of `network` over the processes, block by block; the parameters `whole` stay in full.

    A block is a child of a ModuleList that is in no other: what transformers are made of. Its weights are gathered for its
    forward pass, and again for its backward pass. A network in the memory of the CPU comes to the GPU by this, one whole
    block at a time.
    """
    device = torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else torch.device("cpu")
    mesh = init_device_mesh(device.type, (world.size,))
    ignored = set(whole)
    for block in list(_blocks(network)):
        if any(parameter not in ignored for parameter in block.parameters()):
            fully_shard(block, mesh=mesh, ignored_params=ignored)
    fully_shard(network, mesh=mesh, ignored_params=ignored)
    for parameter in ignored:
        parameter.data = parameter.data.to(device)


def _blocks(module: nn.Module) -> Iterator[nn.Module]:
    for child in module.children():
        if isinstance(child, nn.ModuleList):
            yield from child
        else:
            yield from _blocks(child)
