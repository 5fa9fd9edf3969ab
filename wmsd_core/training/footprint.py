"""The memory of a step of training before there is one: the real networks and the real code, on tensors without numbers.

Every tensor that it makes is counted while it lives, so that the peak is that of the code as it is, with its adapters
and its checkpoints of activations. What a GPU takes besides is not in it: its context, workspaces, and gaps between tensors.
"""

import weakref
from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only
from torch.utils.weak import WeakIdKeyDictionary

from wmsd_core.generators.pretrained import PretrainedGenerator
from wmsd_core.generators.protocol import Adapter, Condition
from wmsd_core.training.adapters import attach

_EXECUTOR: Adapter = "policy"
_aten = torch.ops.aten


class Living(TorchDispatchMode):
    """Bytes of the tensors that were made within this context and are still alive, and the most that ever were.

    Within tensors without numbers, what depends on a number is answered so that nothing is counted too little: a choice by a
    mask takes all, and a number that is read is 0.
    """

    def __init__(self) -> None:
        super().__init__()
        self.bytes = self.peak = 0
        self._known = WeakIdKeyDictionary()

    def know(self, tensor: Tensor) -> None:
        """Leaves out a tensor that was there before."""
        self._known[tensor.untyped_storage()] = True

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is _aten._local_scalar_dense.default:
            return 0
        if func is _aten.index.Tensor and args[1][0] is not None and args[1][0].dtype == torch.bool:
            chosen, mask = args[0], args[1][0]
            made = chosen.flatten(0, mask.ndim - 1).clone()
        else:
            made = func(*args, **(kwargs or {}))
        tree_map_only(Tensor, self._count, made)
        return made

    def _count(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        if storage in self._known:
            return
        self._known[storage] = True
        size = storage.nbytes()
        self.bytes += size
        self.peak = max(self.peak, self.bytes)
        weakref.finalize(storage, self._gone, size)

    def _gone(self, size: int) -> None:
        self.bytes -= size


class Footprint(NamedTuple):
    """Bytes."""

    weights: int
    """Of the frozen network."""
    narrow: int
    """The same with `storage` float8."""
    vae: int
    adapter: int
    """Of one adapter."""
    forward: int
    """The most that a forward pass holds besides weights, adapters and gradients."""
    backward: int
    """The same of a backward pass."""
    decoding: int
    """The most that decoding one video holds besides weights, as the settings have it."""
    tiled: int
    """The same in tiles."""


def footprint(generator: PretrainedGenerator, condition: Condition, *, rank: int, alpha: float) -> Footprint:
    """What one forward and backward pass of the Executor over `condition` takes, one latent for each of its rows, and what
    a video takes that is decoded.

    Nothing is loaded and nothing computed; takes a minute or two for a network of 19B on one core.
    """
    acting, narrow = generator.hollow(storage="same"), generator.hollow(storage="float8")
    weights, vae = _bytes(acting.network.parameters()), _bytes(acting.vae.parameters())
    made: Any = acting  # pyright takes cached properties of a class for no attributes of a protocol
    with torch.device("meta"):
        adapter = attach(made, (_EXECUTOR,), rank=rank, alpha=alpha, seed=0)[_EXECUTOR]
    forward, backward = _pass(acting, condition)
    decoding = _decoding(acting, condition)
    in_tiles = generator.config.tiled_decode
    tiled = decoding if in_tiles else _decoding(generator.hollow(tiled_decode=True), condition)
    return Footprint(
        weights, _bytes(narrow.network.parameters()), vae, _bytes(adapter.values()), forward, backward, decoding, tiled
    )


def _pass(generator: PretrainedGenerator, condition: Condition) -> tuple[int, int]:
    with FakeTensorMode(allow_non_fake_inputs=True), Living() as living:
        _fill(generator.network)
        rows = torch.arange(len(condition))
        x = generator.noise(condition.select(rows), [0] * len(rows))
        before = living.bytes
        living.peak = before
        v = generator.velocity(x, torch.ones(len(rows)), condition, _EXECUTOR)
        forward = living.peak
        v.square().mean().backward()
        return forward - before, living.peak - before


def _decoding(generator: PretrainedGenerator, condition: Condition) -> int:
    vae: Any = generator.vae  # loaded here: within, its weights could not be widened
    with torch.no_grad(), FakeTensorMode(allow_non_fake_inputs=True), Living() as living:
        _fill(vae)
        x_0 = generator.noise(condition.select(torch.arange(1)), [0])[0]
        before = living.bytes
        living.peak = before
        generator.film(x_0)
        return living.peak - before


def _fill(network: nn.Module) -> None:
    """Gives each weight a place in memory that nobody has, and each trained one a gradient, as from the pass before."""
    for module in network.modules():
        for name, weight in module.named_parameters(recurse=False):
            filled = nn.Parameter(torch.empty_like(weight, device="cpu"), requires_grad=weight.requires_grad)
            if weight.requires_grad:
                filled.grad = torch.empty_like(filled)
            setattr(module, name, filled)
        for name, buffer in module.named_buffers(recurse=False):
            setattr(module, name, torch.empty_like(buffer, device="cpu"))


def _bytes(weights: Iterable[Tensor]) -> int:
    return sum(weight.nbytes for weight in weights)
