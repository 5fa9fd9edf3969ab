"""`--set key=value`: typed changes to a configuration, named by their dotted path."""

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from wmsd_core.config import Config

C = TypeVar("C", bound=BaseModel)


def apply(config: C, assignments: Sequence[str]) -> C:
    """A copy of `config` with each `dotted.key=value` set; values are read as YAML and checked by the field's type.

    Raises:
        ValueError: no `=`, a key that does not exist (the message suggests the nearest one), or a value that the field
            refuses (the message says what it accepts).
    """
    values = config.model_dump()
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals:
            raise ValueError(f"'{assignment}' is not of the form key=value")
        key = key.strip()
        if key in (moved := dict(renamed(config))):
            raise ValueError(f"the setting '{key}' is called '{moved[key]}' now")
        _set(values, key, yaml.safe_load(text), known=list(keys(config)))
    try:
        return type(config).model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"{where}: {first['msg']} (got {first['input']!r})") from error


@dataclass(frozen=True)
class Setting:
    """One settable field: its dotted path, its value, its help."""

    key: str
    value: object
    meaning: str


def describe(config: BaseModel, prefix: str = "") -> Iterator[Setting]:
    """Every settable field, in the order of declaration."""
    for name, field in type(config).model_fields.items():
        value = getattr(config, name)
        if isinstance(value, BaseModel):
            yield from describe(value, f"{prefix}{name}.")
        else:
            yield Setting(prefix + name, value, " ".join((field.description or "").split()))


def renamed(config: BaseModel, prefix: str = "") -> Iterator[tuple[str, str]]:
    """The dotted paths that settings had before, each with its present one."""
    if isinstance(config, Config):
        yield from ((prefix + old, prefix + new) for old, new in config.renamed.items())
    for name in type(config).model_fields:
        if isinstance(value := getattr(config, name), BaseModel):
            yield from renamed(value, f"{prefix}{name}.")


def keys(config: BaseModel) -> Iterator[str]:
    """The dotted path of every settable field."""
    return (setting.key for setting in describe(config))


def _set(values: dict[str, Any], key: str, value: Any, *, known: list[str]) -> None:
    if key not in known:
        last = key.rsplit(".", 1)[-1]
        near = difflib.get_close_matches(key, known, n=1, cutoff=0.6) or [
            k for k in known if k.rsplit(".", 1)[-1] == last
        ]
        hint = f"did you mean '{near[0]}'?" if near else f"the keys are: {', '.join(known)}"
        raise ValueError(f"there is no setting '{key}'; {hint}")
    *path, name = key.split(".")
    for part in path:
        values = values[part]
    values[name] = value
