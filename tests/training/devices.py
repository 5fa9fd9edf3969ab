"""A second device without a second device: tensors that say they lie elsewhere, and refuse what a GPU would refuse.

    with Elsewhere() as device:
        generator.network.to(DEVICE)
        ...

Values are computed on the CPU; only the rules are those of a GPU: tensors of two devices meet in no operation, but for a
CPU tensor without axes, indices from the CPU, and copies from one to the other; a CPU generator draws nothing elsewhere.
"""

import traceback
from collections import Counter
from typing import Any, Self

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

aten = torch.ops.aten
DEVICE = torch.device("xla:0")
"""A name that torch knows and this installation lacks, so that nothing can be computed there by accident."""
_ELSEWHERE = ("xla", "meta")
_COPIES = (aten._to_copy.default, aten.copy_.default, aten._local_scalar_dense.default)
_INDEXED = (aten.index.Tensor, aten.index_put_.default, aten.index_put.default, aten._index_put_impl_.default)
_STRICT = ("cat", "stack", "index_select", "gather", "scatter", "index_add", "mm", "addmm", "bmm", "_foreach")
"""Operations, by the beginning of their names, that take no CPU tensor even where it has no axes."""


class TwoDevices(RuntimeError):
    """What a GPU would have said."""


class Remote(Tensor):
    """A tensor that is elsewhere, and `held` here. To C++ it is on `meta`, which autograd can do without a thread for."""

    held: Tensor

    @staticmethod
    def __new__(cls: Any, held: Tensor) -> "Remote":
        made = Tensor._make_wrapper_subclass(  # pyright: ignore[reportAttributeAccessIssue]
            cls,
            held.shape,
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=torch.device("meta"),
            requires_grad=False,
        )
        made.held = held
        return made

    device = property(lambda self: DEVICE)  # pyright: ignore[reportAssignmentType]
    __torch_function__ = torch._C._disabled_torch_function_impl  # pyright: ignore

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise TwoDevices(f"{func} on a tensor elsewhere, outside of `Elsewhere`")

    def tolist(self) -> Any:
        return self.cpu().tolist()

    def __repr__(self) -> str:  # pyright: ignore[reportIncompatibleMethodOverride]
        return f"Remote({self.held})"


class Elsewhere(TorchDispatchMode):
    """Inside, DEVICE exists."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: Counter[str] = Counter()
        """Where in the project the CPU waits for the device, and how often: values are read, or indices counted."""

    def __enter__(self) -> Self:
        # torch.tensor(..., device=DEVICE) is then made here, and copied.
        torch._C._set_only_lift_cpu_tensors(True)  # pyright: ignore[reportPrivateUsage]
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        torch._C._set_only_lift_cpu_tensors(False)  # pyright: ignore[reportPrivateUsage]

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        leaves = tree_leaves((args, kwargs))
        remote = {id(leaf.held): leaf for leaf in leaves if isinstance(leaf, Remote)}
        if func not in _COPIES:
            _meet(func, args, leaves)
        goes = kwargs.get("device")
        stays = bool(remote) if func is not aten.copy_.default else isinstance(args[0], Remote)
        elsewhere = stays if goes is None else torch.device(goes).type in _ELSEWHERE
        if elsewhere and any(isinstance(leaf, torch.Generator) for leaf in leaves):
            raise TwoDevices(f"{func}: a generator of the CPU draws elsewhere")
        if remote and _waits(func, args, elsewhere):
            self.waits[_place()] += 1
        kwargs = {key: torch.device("cpu") if key == "device" else value for key, value in kwargs.items()}
        args, kwargs = tree_map(lambda leaf: leaf.held if isinstance(leaf, Remote) else leaf, (args, kwargs))
        found = func(*args, **kwargs)

        def placed(leaf: Any) -> Any:
            if not isinstance(leaf, Tensor) or not elsewhere:
                return leaf
            # What an operation changes in place, it also returns.
            return remote[id(leaf)] if id(leaf) in remote else Remote(leaf)

        return tree_map(placed, found)


def _meet(func: Any, args: Any, leaves: list[Any]) -> None:
    """Raises if tensors of two devices meet that may not."""
    tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
    if func in _INDEXED and isinstance(args[0], Remote):
        tensors = [args[0], *(value for value in args[2:3] if isinstance(value, Tensor))]
    here = [t for t in tensors if not isinstance(t, Remote)]
    if len(here) == len(tensors) or not here:
        return
    name = func.overloadpacket.__name__
    if name.startswith(_STRICT) or any(t.dim() for t in here):
        shapes = [f"{'elsewhere' if isinstance(t, Remote) else 'here'} {[*t.shape]}" for t in tensors]
        raise TwoDevices(f"{name}: tensors are on two devices: {', '.join(shapes)} (from {_place()})")


def _waits(func: Any, args: Any, elsewhere: bool) -> bool:
    if func in _INDEXED:
        return any(isinstance(i, Remote) and i.dtype == torch.bool for i in args[1])
    if func is aten.copy_.default and args[2:3] == (True,):
        return False  # queued, as from a GPU into page-locked memory
    return func in (aten._local_scalar_dense.default, aten.nonzero.default) or (func in _COPIES and not elsewhere)


def _place() -> str:
    """The innermost line of the project."""
    frames = [frame for frame in traceback.extract_stack() if "/wmsd_core/" in frame.filename]
    if not frames:
        return "outside"
    return f"{frames[-1].filename.split('/wmsd_core/')[-1]}:{frames[-1].lineno} {frames[-1].line}"
