"""Generators and vision-language models by name: those of the project, and anybody's as `package.module:factory`."""

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from wmsd_core import registry
from wmsd_core.config import Config
from wmsd_core.generators.protocol import Generator
from wmsd_core.generators.settings import GeneratorConfig, Hunyuan15Config, Ltx2Config
from wmsd_core.miniature.planner_settings import PlannerConfig
from wmsd_core.miniature.weights import MiniatureConfig
from wmsd_core.rewards.published import PICKSCORE, PICKSCORE_PROCESSOR
from wmsd_core.vlm.protocol import VisionLanguageModel
from wmsd_core.vlm.settings import LocalConfig, ServerConfig

GENERATORS = {
    "miniature": "wmsd_core.miniature.generator:MiniatureGenerator.load",
    "ltx2": "wmsd_core.generators.ltx2:Ltx2Generator",
    "hunyuan15": "wmsd_core.generators.hunyuan15:Hunyuan15Generator",
}
CHECKSUMS = {"miniature": "wmsd_core.miniature.weights:checksum"}
"""Those of generators that need not be loaded to be told."""
VLMS = {
    "miniature": "wmsd_core.miniature.vlm:MiniatureVLM",
    "vllm": "wmsd_core.vlm.server:ServerVLM",
    "transformers": "wmsd_core.vlm.local:LocalVLM",
}


class ModelsConfig(Config):
    """Which models do the work, by name or as `package.module:factory`."""

    incidental = frozenset({"miniature"})  # its weights are known by their checksum

    later: ClassVar[Mapping[str, Any]] = {"planner": PlannerConfig().model_dump()}

    generator: str = "miniature"
    """The image-to-video model: Demonstrator, and with an adapter, Executor."""
    miniature: MiniatureConfig = MiniatureConfig()
    """The miniature, where it is the generator."""
    ltx2: Ltx2Config = Ltx2Config()
    """LTX-2, where it is the generator."""
    hunyuan15: Hunyuan15Config = Hunyuan15Config()
    """HunyuanVideo-1.5, where it is the generator."""
    writer: str = "miniature"
    """The vision-language model that screens images and writes task-solution pairs."""
    judge: str = "miniature"
    """The vision-language model that judges videos, as reward and in the benchmark."""
    pickscore: str = PICKSCORE
    """PickScore's model: a folder, or its name on a hub. Loaded where `train.rewards.pickscore` has a weight, or if
    `evaluate.pickscore` is set."""
    pickscore_processor: str = PICKSCORE_PROCESSOR
    """Its processor, likewise."""
    planner: PlannerConfig = PlannerConfig()
    """Errors in the solutions, where the writer is `miniature`."""
    server: ServerConfig = ServerConfig()
    """The server, where writer or judge is `vllm`."""
    local: LocalConfig = LocalConfig()
    """The model, where writer or judge is `transformers`."""

    @property
    def settings(self) -> GeneratorConfig | None:
        """Settings of the chosen generator, if it is one with pretrained weights."""
        known: dict[str, GeneratorConfig] = {"ltx2": self.ltx2, "hunyuan15": self.hunyuan15}
        return known.get(self.generator)


def generator(models: ModelsConfig, features: Path | None = None, *, split: bool = False) -> Generator:
    """A new instance of the generator: adapters are added to it by whoever loads it.

    Args:
        models: the name, and the settings of a generator with pretrained weights.
        features: folder where such a one keeps features of texts and images.
        split: whether such a one's network is going to be split over several processes.

    Raises:
        ValueError: there is none of this name, or it cannot be loaded.
    """
    if models.settings is None:
        files = (models.miniature.file,) if models.generator == "miniature" else ()
        return registry.make(models.generator, GENERATORS, "generator", *files)
    return registry.make(models.generator, GENERATORS, "generator", models.settings, features, split=split)


def vlm(models: ModelsConfig, name: str, requests: Path | None = None) -> VisionLanguageModel:
    """The vision-language model called `name`, such as `models.judge`: one instance per process and settings.

    `requests` is the file that a server's answers are remembered in.

    Raises:
        ValueError: there is none of this name, it cannot be loaded, or its server cannot be used.
    """
    known = {"miniature": (models.planner,), "vllm": (models.server, requests), "transformers": (models.local,)}
    settings = known.get(name, ())
    key = (name, *map(repr, settings))
    with _loading:
        if key not in _instances:
            _instances[key] = registry.make(name, VLMS, "vision-language model", *settings)
        return _instances[key]


_instances: dict[tuple[str, ...], VisionLanguageModel] = {}
_loading = threading.Lock()
"""Two shards that begin together share one instance: two clients would be twice as many requests under way."""


def base_checksum(models: ModelsConfig, features: Path | None = None) -> str:
    """The checksum of the generator's weights.

    Raises:
        ValueError: as `generator`.
    """
    if models.generator in CHECKSUMS:
        return registry.make(models.generator, CHECKSUMS, "generator", models.miniature.file)
    return generator(models, features).checksum
