"""LoRA adapters that live together in one network and are switched, never copied.

Built on peft's layers (Hu et al. 2021, arXiv:2106.09685). peft's own `set_adapter` also turns gradients of all other
adapters off, and autograd then drops gradients of graphs that were built before: a step that evaluates "old" or "ema"
between the policy's forward and backward pass would silently train nothing. `use` changes which adapter acts and
touches no `requires_grad`.

Departure from peft: an adapter computes in the number format of what it is given, as under autocast, though its weights,
gradients and moments are float32. peft widens every input instead: LTX-2 in bfloat16 then spends a third of a forward pass on
copies between formats.
"""

import warnings
from collections.abc import Sequence
from typing import Any

import torch
from peft import LoraConfig, get_peft_model_state_dict, inject_adapter_in_model, set_peft_model_state_dict
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


def add_adapter(
    network: nn.Module,
    name: str,
    targets: Sequence[str],
    *,
    rank: int,
    alpha: float,
    seed: int,
    trainable: bool = True,
) -> None:
    """Adds a LoRA adapter with B = 0 (it changes nothing yet) to the linears called `targets`; weights are float32.

    The base becomes frozen. Adapters with the same seed are equal. No adapter acts until `use` says so.

    Raises:
        ValueError: the network already has an adapter of this name, or no linear called as in `targets`.
    """
    if name in adapters(network):
        raise ValueError(
            f"the network already has an adapter named {name!r}: load weights into it, or take another name"
        )
    # peft declares alpha an int and only ever divides it by the rank.
    config = LoraConfig(r=rank, lora_alpha=alpha, target_modules=list(targets))  # pyright: ignore[reportArgumentType]
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        # peft warns of a second adapter, which is what is meant here.
        warnings.filterwarnings("ignore", message="Already found a `peft_config`")
        torch.manual_seed(seed)
        inject_adapter_in_model(config, network, adapter_name=name)
        for layer in _layers(network):
            if layer.lora_A[name].weight.dtype != torch.float32:
                # peft has drawn them in the format of the base, which has few numbers near 0 (float8: 17 in this range).
                layer.lora_A[name].float()
                layer.lora_B[name].float()
                layer.reset_lora_parameters(name, init_lora_weights=True)
    for layer in _layers(network):
        layer.cast_input_dtype_enabled = False
        for factors in (layer.lora_A, layer.lora_B):
            factors[name] = _Following(factors[name].weight)  # pyright: ignore[reportArgumentType]
    for weight in parameters(network, name):
        weight.data = weight.data.float()
        weight.requires_grad_(trainable)
    use(network, None)


class _Following(nn.Module):
    """A factor of an adapter, in the number format of its input."""

    def __init__(self, weight: nn.Parameter) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(x, self.weight.to(x.dtype))


def adapters(network: nn.Module) -> tuple[str, ...]:
    """Names of the adapters that the network carries."""
    layer = next(iter(_layers(network)), None)
    return tuple(layer.lora_A) if layer is not None else ()


def parameters(network: nn.Module, name: str) -> list[nn.Parameter]:
    """The weights of one adapter, in the order of the network's modules."""
    _require(network, name)
    return [
        weight
        for layer in _layers(network)
        for weight in (*layer.lora_A[name].parameters(), *layer.lora_B[name].parameters())
    ]


def use(network: nn.Module, name: str | None) -> None:
    """Lets adapter `name` act in the following forward passes; None is the frozen base, bit for bit.

    Raises:
        ValueError: there is no such adapter.
    """
    if name is not None:
        _require(network, name)
    for layer in _layers(network):
        layer._disable_adapters = name is None  # pyright: ignore[reportPrivateUsage]
        if name is not None:
            layer._active_adapter = [name]  # pyright: ignore[reportPrivateUsage]


def used(network: nn.Module) -> str | None:
    """The adapter that acts now."""
    layer = next(iter(_layers(network)), None)
    if layer is None or layer._disable_adapters:  # pyright: ignore[reportPrivateUsage]
        return None
    return layer.active_adapters[0]


def checkpoint_activations(network: Any) -> None:
    """Lets a network of diffusers compute its blocks a second time in the backward pass instead of keeping activations.

    The second time happens after other adapters may have acted: each block is given back the adapter of its first time.
    diffusers' own switch is not, and would return the gradient of another function.
    """

    def twice(block: nn.Module, *inputs: Any) -> Any:
        name = used(block)

        def once(*inputs: Any) -> Any:
            now = used(block)
            use(block, name)
            try:
                return block(*inputs)
            finally:
                use(block, now)

        return checkpoint(once, *inputs, use_reentrant=False)

    network.enable_gradient_checkpointing(twice)


def adapter_state(network: nn.Module, name: str) -> dict[str, Tensor]:
    """The adapter's weights under the names that peft writes to `adapter_model.safetensors`."""
    _require(network, name)
    state = get_peft_model_state_dict(network, adapter_name=name)
    return {key: weight.detach().contiguous() for key, weight in state.items()}


def load_adapter_state(network: nn.Module, name: str, state: dict[str, Tensor]) -> None:
    """Copies weights as returned by `adapter_state` into an adapter that exists.

    Raises:
        ValueError: weights are missing, left over or of another shape; the message names the first few.
    """
    expected = adapter_state(network, name)
    wrong = sorted(expected.keys() ^ state.keys()) or [k for k, w in expected.items() if w.shape != state[k].shape]
    if wrong:
        raise ValueError(
            f"weights do not fit adapter {name!r} at {', '.join(wrong[:3])}; were rank or targets changed?"
        )
    set_peft_model_state_dict(network, state, adapter_name=name)


def merge(network: nn.Module, name: str) -> None:
    """Adds an adapter's updates to the weights, W + alpha / rank B A, and takes all adapters away.

    The sum is taken in float32 and rounded once, to the number format of W.

    Raises:
        ValueError: there is no such adapter, or the weights rest in float8, whose three bits would lose most of the updates.
    """
    _require(network, name)
    layers: dict[str, Any] = {path: module for path, module in network.named_modules() if isinstance(module, LoraLayer)}
    for path, layer in layers.items():
        weight = layer.get_base_layer().weight
        if weight.itemsize < 2:
            raise ValueError("weights in float8 cannot take an adapter up: set storage to same")
        weight.data = (weight.float() + layer.get_delta_weight(name).float()).to(weight.dtype)
        parent, _, child = path.rpartition(".")
        setattr(network.get_submodule(parent), child, layer.get_base_layer())


def _layers(network: nn.Module) -> list[LoraLayer]:
    return [module for module in network.modules() if isinstance(module, LoraLayer)]


def _require(network: nn.Module, name: str) -> None:
    if name not in (known := adapters(network)):
        raise ValueError(f"the network has no adapter named {name!r}; it has: {', '.join(known) or 'none'}")
