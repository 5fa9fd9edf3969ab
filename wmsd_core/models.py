"""Generators and vision-language models by name: those of the project, and anybody's as `package.module:factory`."""

from functools import cache
from importlib import import_module
from operator import attrgetter
from pathlib import Path
from typing import Any

from wmsd_core.config import Config
from wmsd_core.generators.protocol import Generator
from wmsd_core.generators.settings import GeneratorConfig, Hunyuan15Config, Ltx2Config
from wmsd_core.rewards.pickscore import MODEL as PICKSCORE
from wmsd_core.rewards.pickscore import PROCESSOR as PICKSCORE_PROCESSOR
from wmsd_core.vlm.protocol import VisionLanguageModel

GENERATORS = {
    "miniature": "wmsd_core.generators.miniature:MiniatureGenerator.load",
    "ltx2": "wmsd_core.generators.ltx2:Ltx2Generator",
    "hunyuan15": "wmsd_core.generators.hunyuan15:Hunyuan15Generator",
}
VLMS = {"miniature": "wmsd_core.miniature.vlm:MiniatureVLM"}


class ModelsConfig(Config):
    """Which models do the work, by name or as `package.module:factory`."""

    generator: str = "miniature"
    """The image-to-video model: Demonstrator, and with an adapter, Executor."""
    ltx2: Ltx2Config = Ltx2Config()
    """LTX-2, where it is the generator."""
    hunyuan15: Hunyuan15Config = Hunyuan15Config()
    """HunyuanVideo-1.5, where it is the generator."""
    writer: str = "miniature"
    """The vision-language model that screens images and writes task-solution pairs."""
    judge: str = "miniature"
    """The vision-language model that judges videos, as reward and in the benchmark."""
    pickscore: str = PICKSCORE
    """PickScore's model: a folder, or its name on a hub. Loaded where `train.rewards.pickscore` has a weight."""
    pickscore_processor: str = PICKSCORE_PROCESSOR
    """Its processor, likewise."""

    @property
    def settings(self) -> GeneratorConfig | None:
        """Settings of the chosen generator; None where it has none."""
        known: dict[str, GeneratorConfig] = {"ltx2": self.ltx2, "hunyuan15": self.hunyuan15}
        return known.get(self.generator)


def generator(name: str, settings: GeneratorConfig | None = None, features: Path | None = None) -> Generator:
    """A new instance of the generator called `name`: adapters are added to it by whoever loads it.

    Args:
        name: a known one, or `package.module:factory` of a factory without arguments.
        settings: of a generator with pretrained weights.
        features: folder where such a one keeps features of texts and images.

    Raises:
        ValueError: there is none of this name, or it cannot be loaded.
    """
    return _make(name, GENERATORS, "generator", *((settings, features) if settings else ()))


@cache
def vlm(name: str) -> VisionLanguageModel:
    """The vision-language model called `name`.

    Raises:
        ValueError: there is none of this name, or it cannot be loaded.
    """
    return _make(name, VLMS, "vision-language model")


def base_checksum(name: str, settings: GeneratorConfig | None = None, features: Path | None = None) -> str:
    """The checksum of the generator called `name`, with these settings."""
    return generator(name, settings, features).checksum


def _make(name: str, known: dict[str, str], kind: str, *arguments: Any) -> Any:
    module, _, factory = known.get(name, name).partition(":")
    if not factory:
        raise ValueError(f"no {kind} named '{name}': choose from {', '.join(known)}, or give package.module:factory")
    try:
        return attrgetter(factory)(import_module(module))(*arguments)
    except (ModuleNotFoundError, AttributeError) as error:
        raise ValueError(f"{kind} '{name}' cannot be loaded: {error}") from error
