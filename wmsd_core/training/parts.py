"""Generators and judges by name: those of the project, and anybody's as `package.module:factory`."""

from importlib import import_module
from operator import attrgetter
from typing import Any

from wmsd_core.generators.protocol import Generator
from wmsd_core.vlm.protocol import VisionLanguageModel

GENERATORS = {"miniature": "wmsd_core.generators.miniature:MiniatureGenerator.load"}
JUDGES = {"miniature": "wmsd_core.miniature.vlm:MiniatureVLM"}


def generator(name: str) -> Generator:
    """The generator called `name`, ready to use."""
    return _make(name, GENERATORS, "generator")


def judge(name: str) -> VisionLanguageModel:
    """The judge called `name`, ready to use."""
    return _make(name, JUDGES, "judge")


def _make(name: str, known: dict[str, str], kind: str) -> Any:
    module, _, factory = known.get(name, name).partition(":")
    if not factory:
        raise ValueError(f"no {kind} named '{name}': choose from {', '.join(known)}, or give package.module:factory")
    try:
        return attrgetter(factory)(import_module(module))()
    except (ModuleNotFoundError, AttributeError) as error:
        raise ValueError(f"{kind} '{name}' cannot be loaded: {error}") from error
