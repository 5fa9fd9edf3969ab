"""`--set key=value`: typed changes to a configuration, named by their dotted path."""

import difflib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from wmsd_core.config import Config
from wmsd_core.docstrings import docstrings

C = TypeVar("C", bound=BaseModel)

POWER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)[eE][+-]?\d+")
"""A number with an exponent. YAML 1.1 takes 1e3 for text."""


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
        known = {setting.key: setting for setting in describe(config)}
        if key not in known:
            raise ValueError(f"there is no setting '{key}'; {_hint(key, list(known))}")
        _set(values, key, _value(key, text, known[key].annotation))
    try:
        return type(config).model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"{where}: {first['msg']} (got {first['input']!r})") from error


@dataclass(frozen=True)
class Setting:
    """One settable field: its dotted path, its value, and the class that it is a field of."""

    key: str
    value: object
    owner: type[BaseModel]
    annotation: Any
    bounds: tuple[object, ...] = ()

    @property
    def meaning(self) -> str:
        """Its help, on one line."""
        return " ".join(docstrings(self.owner).get(self.key.rpartition(".")[2], "").split())

    @property
    def kind(self) -> str:
        """Type and bounds, such as `int, > 0`."""
        signs = {"gt": ">", "ge": ">=", "lt": "<", "le": "<=", "min_length": "length >=", "max_length": "length <="}
        limits = [
            f"{sign} {getattr(bound, name)}"
            for bound in self.bounds
            for name, sign in signs.items()
            if hasattr(bound, name)
        ]
        return ", ".join([_told(self.annotation), *limits])


def describe(config: BaseModel, prefix: str = "") -> Iterator[Setting]:
    """Every settable field, in the order of declaration."""
    for name, field in type(config).model_fields.items():
        value = getattr(config, name)
        if isinstance(value, BaseModel):
            yield from describe(value, f"{prefix}{name}.")
        else:
            yield Setting(prefix + name, value, type(config), field.annotation, tuple(field.metadata))


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


def _value(key: str, text: str, annotation: Any) -> Any:
    """The text as a value for a field of this type: several values need no brackets, and true is no number."""
    value = yaml.safe_load(text)
    leaves = set(_leaves(annotation))
    if isinstance(value, bool) and bool not in leaves:
        raise ValueError(f"{key}: {text.strip()} is no {_told(annotation)}")
    if value != text.strip():  # YAML has read something, or has taken quotes away
        return [value] if _is_series(annotation) and isinstance(value, int | float) else value
    if _is_series(annotation):
        return [_value(key, part, Any) for part in text.split(",")]
    if POWER.fullmatch(text.strip()):
        number = float(value)
        return int(number) if number.is_integer() else number
    return value


def _is_series(annotation: Any) -> bool:
    return get_origin(annotation) in (tuple, list)


def _leaves(annotation: Any) -> Iterator[Any]:
    """The plain types, and the values of literals, that an annotation is made of."""
    if annotation is Any:
        yield bool
    if not (inner := get_args(annotation)):
        yield annotation
    for one in inner:
        yield from _leaves(one)


def _told(annotation: Any) -> str:
    plain = isinstance(annotation, type) and not get_args(annotation)
    return re.sub(r"(\w+\.)+", "", annotation.__name__ if plain else str(annotation))


def _hint(key: str, known: list[str]) -> str:
    """The setting that was meant: of the same last name, of the same initials (lr), or spelt nearly so."""
    stage, last = key.split(".")[0], key.rsplit(".", 1)[-1]
    names = {one: one.rsplit(".", 1)[-1] for one in known}
    same = [one for one, name in names.items() if name == last]
    initials = [one for one, name in names.items() if "".join(word[0] for word in name.split("_")) == last]
    candidates = [
        *sorted(same, key=lambda one: not one.startswith(stage)),
        *sorted(initials, key=lambda one: not one.startswith(stage)),
        *difflib.get_close_matches(key, known, n=1, cutoff=0.6),
    ]
    return f"did you mean '{candidates[0]}'?" if candidates else f"the keys are: {', '.join(known)}"


def _set(values: dict[str, Any], key: str, value: Any) -> None:
    *path, name = key.split(".")
    for part in path:
        values = values[part]
    values[name] = value
