"""Things by name: those of the project, and anybody's as `package.module:factory`.

Generators, vision-language models, benchmarks, filters and rewards are all found this way, so that a new one needs no change
to what uses it.
"""

from collections.abc import Mapping
from importlib import import_module
from operator import attrgetter
from typing import Any


def make(name: str, known: Mapping[str, str], kind: str, *settings: Any, **options: Any) -> Any:
    """What the factory called `name` returns for these settings.

    Args:
        name: a key of `known`, or `package.module:factory`.
        known: name -> `package.module:factory`, of the project's own.
        kind: what it is, for messages.

    Raises:
        ValueError: there is none of this name, or it cannot be loaded.
    """
    module, _, factory = known.get(name, name).partition(":")
    if not factory:
        choices = f"choose from {', '.join(known)}, or give" if known else "give"
        raise ValueError(f"no {kind} named '{name}': {choices} package.module:factory")
    try:
        return attrgetter(factory)(import_module(module))(*settings, **options)
    except (ModuleNotFoundError, AttributeError) as error:
        raise ValueError(f"{kind} '{name}' cannot be loaded: {error}") from error
