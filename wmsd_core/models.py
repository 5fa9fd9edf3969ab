"""Generators and vision-language models by name: those of the project, and anybody's as `package.module:factory`."""

from functools import cache
from importlib import import_module
from operator import attrgetter
from typing import Any

from wmsd_core.config import Config
from wmsd_core.generators.protocol import Generator
from wmsd_core.rewards.pickscore import MODEL as PICKSCORE
from wmsd_core.rewards.pickscore import PROCESSOR as PICKSCORE_PROCESSOR
from wmsd_core.vlm.protocol import VisionLanguageModel

GENERATORS = {"miniature": "wmsd_core.generators.miniature:MiniatureGenerator.load"}
VLMS = {"miniature": "wmsd_core.miniature.vlm:MiniatureVLM"}


class ModelsConfig(Config):
    """Which models do the work, by name or as `package.module:factory`."""

    generator: str = "miniature"
    """The image-to-video model: Demonstrator, and with an adapter, Executor."""
    writer: str = "miniature"
    """The vision-language model that screens images and writes task-solution pairs."""
    judge: str = "miniature"
    """The vision-language model that judges videos, as reward and in the benchmark."""
    pickscore: str = PICKSCORE
    """PickScore's model: a folder, or its name on a hub. Loaded where `train.rewards.pickscore` has a weight."""
    pickscore_processor: str = PICKSCORE_PROCESSOR
    """Its processor, likewise."""


def generator(name: str) -> Generator:
    """A new instance of the generator called `name`: adapters are added to it by whoever loads it.

    Raises:
        ValueError: there is none of this name, or it cannot be loaded.
    """
    return _make(name, GENERATORS, "generator")


@cache
def vlm(name: str) -> VisionLanguageModel:
    """The vision-language model called `name`.

    Raises:
        ValueError: there is none of this name, or it cannot be loaded.
    """
    return _make(name, VLMS, "vision-language model")


@cache
def base_checksum(name: str) -> str:
    """SHA-256 of the base weights of the generator called `name`."""
    return generator(name).checksum


def _make(name: str, known: dict[str, str], kind: str) -> Any:
    module, _, factory = known.get(name, name).partition(":")
    if not factory:
        raise ValueError(f"no {kind} named '{name}': choose from {', '.join(known)}, or give package.module:factory")
    try:
        return attrgetter(factory)(import_module(module))()
    except (ModuleNotFoundError, AttributeError) as error:
        raise ValueError(f"{kind} '{name}' cannot be loaded: {error}") from error
