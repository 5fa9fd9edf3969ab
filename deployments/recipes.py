"""Named settings of the whole pipeline. A recipe is a function that returns every setting; `--set` changes single ones.

Settings are imported inside the functions: they know torch, and `wmsd --help` should answer at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wmsd_core.recipe import Recipe


def miniature() -> Recipe:
    """The whole method on a small procedural world, on two CPU cores in minutes."""
    from wmsd_core.miniature.pictures import RenderConfig
    from wmsd_core.recipe import Recipe

    return Recipe(render=RenderConfig(n=1000))


RECIPES: dict[str, Callable[[], Recipe]] = {"miniature": miniature}


def named(name: str) -> Recipe:
    """The recipe called `name`.

    Raises:
        ValueError: there is none; the message lists those that exist.
    """
    if name not in RECIPES:
        raise ValueError(f"there is no recipe '{name}'; choose from: {', '.join(RECIPES)}")
    return RECIPES[name]()
