"""Where the settings of a run come from: the defaults, a recipe, the workspace's `wmsd.yaml`, single settings; later ones win.

    recipe: ltx2
    train:
      steps: 300

A file of this form can also stand where a recipe's name does.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from deployments import recipes

if TYPE_CHECKING:
    from wmsd_core.recipe import Recipe

FILE = "wmsd.yaml"
"""In a workspace."""


def effective(
    workspace: Path | None, recipe: str | None, settings: Sequence[str], default: str = "miniature"
) -> "Recipe":
    """Every setting: `recipe` is a name or a file, None what the workspace says, and `default` where it says nothing.

    Raises:
        ValueError: there is no such recipe, file or setting, or a value is refused.
    """
    from wmsd_core import overrides

    own = workspace / FILE if workspace else None
    name, *files = read(own) if own and own.is_file() else (None, {})
    if recipe and recipe.endswith((".yaml", ".yml")):
        name, below = read(Path(recipe))
        files = [below, *files]
    elif recipe:
        name = recipe
    chosen = recipes.named(name or default)
    known = frozenset(overrides.keys(chosen))
    changed = [assignment for nested in files for assignment in _flat(nested, known)]
    return overrides.apply(chosen, [*changed, *settings])


def read(file: Path) -> tuple[str | None, dict[str, Any]]:
    """The recipe that a file names, and its settings, nested.

    Raises:
        ValueError: it cannot be read, or is no mapping.
    """
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"{file} cannot be read as settings: {' '.join(str(error).split())}") from error
    if not isinstance(content, Mapping):
        raise ValueError(f"{file} must hold lines such as `recipe: ltx2` and `train:`; see `wmsd init`")
    name: Any = content.get("recipe")  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    if not isinstance(name, str | None):
        raise ValueError(f"{file}: recipe must be a name: {', '.join(recipes.RECIPES)}")
    return name, {str(key): value for key, value in content.items() if key != "recipe"}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]


def written(recipe: str) -> str:
    """The text of a `wmsd.yaml`: what a recipe sets otherwise than the defaults, each with its meaning."""
    from wmsd_core import overrides
    from wmsd_core.recipe import Recipe

    usual = {one.key: one.value for one in overrides.describe(Recipe())}
    lines = [
        "# Settings of this workspace. They go over the recipe's, and --set goes over them.",
        "# Here stands all that the recipe sets otherwise than the defaults; `wmsd settings` lists every key.",
        f"recipe: {recipe}",
    ]
    open_: list[str] = []
    for one in overrides.describe(recipes.named(recipe)):
        if one.key in usual and usual[one.key] == one.value:
            continue
        *path, name = one.key.split(".")
        same = next(
            (n for n, (a, b) in enumerate(zip(open_, path, strict=False)) if a != b), min(len(open_), len(path))
        )
        lines += ["  " * depth + path[depth] + ":" for depth in range(same, len(path))]
        open_ = path
        value = json.dumps(one.value, default=str)
        lines += ["  " * len(path) + f"# {one.meaning}", "  " * len(path) + f"{name}: {value}"]
    return "\n".join(lines) + "\n"


def _flat(nested: Mapping[str, Any], known: frozenset[str], prefix: str = "") -> Iterator[str]:
    """Nested settings as KEY=VALUE. A key that is `known` is one setting, even where its value is a mapping."""
    for key, value in nested.items():
        if isinstance(value, Mapping) and value and prefix + key not in known:
            yield from _flat(value, known, f"{prefix}{key}.")  # pyright: ignore[reportUnknownArgumentType]
        else:
            plain = isinstance(value, str) and yaml.safe_load(value) == value
            yield f"{prefix}{key}={value if plain else json.dumps(value)}"
