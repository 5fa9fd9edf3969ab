"""The adapters of a run: `policy` is trained, `ema` follows it, and some arms have more. All stay resident in the network,
in float32."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig
from safetensors.torch import load_file, save_file

from wmsd_core.files import sha256
from wmsd_core.generators import lora
from wmsd_core.generators.protocol import Adapter, Generator
from wmsd_core.training.checkpoint import Publication
from wmsd_core.training.deliveries import ABOUT, CHECKSUM
from wmsd_core.training.sealing import seal

WEIGHTS = "adapter_model.safetensors"
SETTINGS = "adapter_config.json"
_PREFIX = "transformer."
"""What diffusers calls the network in files of adapters."""
PEFT = "peft"
"""Where an adapter's folder has the same weights for peft, whose names differ."""
_PEFT_PREFIX = "base_model.model."


Weights = dict[str, torch.nn.Parameter]
"""The live weights of an adapter, by names that all adapters share: writing to them changes the network."""

_TRAINED: tuple[Adapter, ...] = ("policy", "demonstrator", "critic")


def attach(
    generator: Generator, names: Sequence[Adapter], *, rank: int, alpha: float, seed: int
) -> dict[Adapter, Weights]:
    """Adds these adapters to the generator. They start equal, and as LoRA does, as no change to the base."""
    network, targets = generator.network, generator.lora_targets
    for name in names:
        lora.add_adapter(network, name, targets, rank=rank, alpha=alpha, seed=seed, trainable=name in _TRAINED)
    return {name: _weights(network, name) for name in names}


def start_from(generator: Generator, folder: Path) -> None:
    """Gives the Executor, live and averaged, the weights of a finished run.

    Raises:
        ValueError: the weights are not there, are damaged, or do not fit.
    """
    state = _read(folder)
    for name in ("policy", "ema"):
        lora.load_adapter_state(generator.network, name, state)


def publish(
    generator: Generator,
    folder: Path,
    *,
    name: Adapter = "ema",
    rank: int,
    alpha: float,
    about: Mapping[str, Any] | None = None,
) -> str:
    """Writes an adapter, complete or not at all; returns its SHA-256. `about` tells its step and its origin.

    The weights lie under the names of diffusers, which finds rank and alpha in the head of the same file:
    `pipeline.load_lora_weights(folder)`, or where a pipeline has none,
    `transformer.load_lora_adapter(folder, weight_name="adapter_model.safetensors")`. Under peft's names they lie in `peft`:
    `PeftModel.from_pretrained(transformer, folder / "peft")`.
    """
    settings = _settings(generator, rank, alpha)
    head = json.dumps({_PREFIX + key: value for key, value in settings.items()}, sort_keys=True)
    with Publication(folder) as partial:
        # One entry only: safetensors writes several in the order of a hash that differs from process to process.
        state = {key: weight.cpu() for key, weight in lora.adapter_state(generator.network, name).items()}
        save_file(
            {_PREFIX + key: value for key, value in state.items()}, partial / WEIGHTS, {"lora_adapter_metadata": head}
        )
        (partial / PEFT).mkdir()
        save_file({_PEFT_PREFIX + key: value for key, value in state.items()}, partial / PEFT / WEIGHTS)
        for place in (partial, partial / PEFT):
            (place / SETTINGS).write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        checksum = sha256(partial / WEIGHTS)
        (partial / CHECKSUM).write_text(checksum + "\n", encoding="utf-8")
        (partial / ABOUT).write_text(json.dumps(about or {}, indent=1) + "\n", encoding="utf-8")
        seal(partial)
    return checksum


def _settings(generator: Generator, rank: int, alpha: float) -> dict[str, Any]:
    """The adapter's settings as JSON. peft keeps some in sets, whose order differs from process to process: sorted, equal
    runs are equal files."""
    config = LoraConfig(r=rank, lora_alpha=alpha, target_modules=list(generator.lora_targets))  # pyright: ignore[reportArgumentType]
    return {key: sorted(value) if isinstance(value, set) else value for key, value in config.to_dict().items()}


def load_adapter(generator: Generator, folder: Path) -> None:
    """Adds a finished run's adapter to a generator that has none, as "ema".

    Raises:
        ValueError: the weights are not there, are damaged, or do not fit.
    """
    state = _read(folder)
    settings = LoraConfig.from_pretrained(str(folder))
    if not isinstance(settings, LoraConfig):
        raise ValueError(f"{folder} holds no LoRA adapter, but {settings.peft_type}")
    lora.add_adapter(
        generator.network,
        "ema",
        generator.lora_targets,
        rank=settings.r,
        alpha=settings.lora_alpha,
        seed=0,
        trainable=False,
    )
    lora.load_adapter_state(generator.network, "ema", state)


def _weights(network: torch.nn.Module, name: Adapter) -> Weights:
    """The parameters of one adapter, by their names without the adapter's."""
    part = f".{name}."
    return {key.replace(part, "."): weight for key, weight in network.named_parameters() if part in key}


def _read(folder: Path) -> dict[str, torch.Tensor]:
    path = folder / WEIGHTS
    if not path.is_file():
        raise ValueError(f"there is no adapter in {folder}: {WEIGHTS} is missing")
    if sha256(path) != (folder / CHECKSUM).read_text(encoding="utf-8").strip():
        raise ValueError(f"{path} is damaged: its SHA-256 is not the one in {CHECKSUM}")
    return {key.removeprefix(_PREFIX): weight for key, weight in load_file(path).items()}
