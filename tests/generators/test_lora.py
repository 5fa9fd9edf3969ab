from typing import Any

import pytest
import torch
from torch import nn

from wmsd_core.generators import lora


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2)).requires_grad_(False)


def two_adapters() -> nn.Module:
    net = network()
    lora.add_adapter(net, "policy", ["0", "2"], rank=2, alpha=4.0, seed=1)
    lora.add_adapter(net, "old", ["0", "2"], rank=2, alpha=4.0, seed=1, trainable=False)
    return net


X = torch.linspace(-1, 1, 12).view(3, 4)


def out(net: nn.Module, name: str | None) -> torch.Tensor:
    lora.use(net, name)
    return net(X)


def shake(net: nn.Module, name: str, seed: int = 0) -> None:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in lora.parameters(net, name):
            weight.add_(torch.randn(weight.shape, generator=generator))


def test_a_new_adapter_changes_nothing_and_none_is_the_base_bit_for_bit():
    base = network()(X)
    net = two_adapters()
    assert torch.equal(out(net, "policy"), base)
    shake(net, "policy")
    assert not torch.allclose(out(net, "policy"), base)
    assert torch.equal(out(net, None), base)
    assert torch.equal(out(net, "old"), base)


def test_the_same_seed_gives_equal_adapters_and_the_global_generator_is_left_alone():
    net = two_adapters()
    for a, b in zip(lora.parameters(net, "policy"), lora.parameters(net, "old"), strict=True):
        assert torch.equal(a, b)
    torch.manual_seed(5)
    expected = torch.rand(1)
    other = network()
    torch.manual_seed(5)
    lora.add_adapter(other, "policy", ["0"], rank=2, alpha=4.0, seed=1)
    assert torch.equal(torch.rand(1), expected)


def test_only_trainable_adapters_take_gradients():
    net = two_adapters()
    taking = {name for name, weight in net.named_parameters() if weight.requires_grad}
    assert taking == {f"{i}.lora_{m}.policy.weight" for i in (0, 2) for m in "AB"}


def test_adding_an_adapter_while_another_acts_freezes_none():
    net = two_adapters()
    lora.use(net, "old")
    lora.add_adapter(net, "ema", ["0", "2"], rank=2, alpha=4.0, seed=1, trainable=False)
    assert all(weight.requires_grad for weight in lora.parameters(net, "policy"))
    assert not any(weight.requires_grad for name in ("old", "ema") for weight in lora.parameters(net, name))


def test_switching_between_forward_and_backward_loses_no_gradient():
    net = two_adapters()
    shake(net, "policy")
    out(net, "policy").square().sum().backward()
    expected = [weight.grad.clone() for weight in lora.parameters(net, "policy") if weight.grad is not None]
    net.zero_grad()
    loss = out(net, "policy").square().sum()
    out(net, "old")
    out(net, None)
    loss.backward()
    found = [weight.grad for weight in lora.parameters(net, "policy") if weight.grad is not None]
    assert len(found) == len(expected) == 4
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_a_state_round_trips_under_the_names_of_peft():
    net = two_adapters()
    shake(net, "policy")
    state = lora.adapter_state(net, "policy")
    assert set(state) == {f"{i}.lora_{m}.weight" for i in (0, 2) for m in "AB"}
    lora.load_adapter_state(net, "old", state)
    assert torch.equal(out(net, "old"), out(net, "policy"))


def test_mistakes_are_named():
    net = two_adapters()
    with pytest.raises(ValueError, match="already has an adapter named 'policy'"):
        lora.add_adapter(net, "policy", ["0"], rank=2, alpha=4.0, seed=0)
    with pytest.raises(ValueError, match="no adapter named 'ema'; it has: policy, old"):
        lora.use(net, "ema")
    state = lora.adapter_state(net, "policy")
    with pytest.raises(ValueError, match=r"0\.lora_A\.weight"):
        lora.load_adapter_state(net, "old", {k: v for k, v in state.items() if k != "0.lora_A.weight"})
    with pytest.raises(ValueError, match=r"0\.lora_A\.weight"):
        lora.load_adapter_state(net, "old", {**state, "0.lora_A.weight": torch.zeros(3, 4)})
    with pytest.raises(ValueError, match="nowhere"):
        lora.add_adapter(network(), "policy", ["nowhere"], rank=2, alpha=4.0, seed=0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_an_adapter_computes_in_the_format_of_its_input_and_learns_in_float32(dtype: torch.dtype) -> None:
    network = nn.Sequential(nn.Linear(16, 16)).to(dtype)
    lora.add_adapter(network, "policy", ["0"], rank=4, alpha=8, seed=0)
    down, up = lora.parameters(network, "policy")
    with torch.no_grad():
        up.add_(torch.randn(up.shape, generator=torch.Generator().manual_seed(1)))
    seen: set[torch.dtype] = set()
    layer: Any = network[0]
    layer.lora_B["policy"].register_forward_hook(lambda _, x, y: seen.update((x[0].dtype, y.dtype)))
    lora.use(network, "policy")
    x = torch.randn(8, 16, generator=torch.Generator().manual_seed(2)).to(dtype)
    y = network(x)
    y.float().square().sum().backward()
    expected = layer.base_layer(x).float() + 2 * x.float() @ down.T @ up.T
    torch.testing.assert_close(y.float(), expected, atol=0.15 if dtype == torch.bfloat16 else 1e-5, rtol=0.02)
    assert seen == {y.dtype} == {dtype}
    assert down.dtype == torch.float32 and all(w.grad is not None and w.grad.dtype == w.dtype for w in (down, up))
