"""The base of every configuration: frozen, closed to unknown keys, and identified by its content.

A configuration is built once (by a recipe, a form or the command line), stops at the entry function of its stage, and
never reaches the maths, which takes plain keyword numbers.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from wmsd_core.docstrings import docstrings


class Config(BaseModel):
    """Frozen settings of one stage. The docstring under each field is its help text, in forms and in `--help`."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    revision: ClassVar[int] = 1
    """Raised by hand when the code behind these settings changes its results: old rows and cache entries then no longer
    count as done. It is the code version of cache keys; a hash of source files would also change with a comment."""

    incidental: ClassVar[frozenset[str]] = frozenset()
    """Fields that say how the work is reached or hurried and cannot change its result: an address, a time limit. They are
    no part of the identity, so that a server that has moved makes nothing be done again."""

    later: ClassVar[Mapping[str, Any]] = {}
    """Fields that came later, each with the value that means what was done before there was one. At that value they are no part
    of the identity, so that what an earlier version has made is not made again."""

    renamed: ClassVar[Mapping[str, str]] = {}
    """Fields that had another name, by that name: who still gives the old one is told the new one."""

    @model_validator(mode="before")
    @classmethod
    def _by_their_names(cls, given: Any) -> Any:
        for old, new in cls.renamed.items():
            if isinstance(given, Mapping) and old in given:
                raise ValueError(f"the setting '{old}' is called '{new}' now")
        return given  # pyright: ignore[reportUnknownVariableType]

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """The schema that forms are made of. A field's help says its bounds: a form checks them only when it is sent."""
        schema = handler(core)
        helped = docstrings(cls)
        for name, field in handler.resolve_ref_schema(schema).get("properties", {}).items():
            if name in helped:
                field["description"] = helped[name]
            if limits := bounds(field):
                field["description"] = f"{field.get('description', '')} ({limits})".strip()
        return schema

    def identity(self) -> dict[str, Any]:
        """The settings that determine results, as plain JSON."""
        plain = self.model_dump(mode="json", exclude=set(self.incidental))
        plain = {name: value for name, value in plain.items() if name not in self.later or value != self.later[name]}
        inner = {name: getattr(self, name) for name in plain}
        return plain | {name: value.identity() for name, value in inner.items() if isinstance(value, Config)}

    def digest(self) -> str:
        """SHA-256 of identity and revision as canonical JSON, 16 hex digits: the `config_hash` of every derived row."""
        return digest([type(self).revision, self.identity()])


BOUNDS = {
    "minimum": "at least",
    "exclusiveMinimum": "above",
    "maximum": "at most",
    "exclusiveMaximum": "below",
    "minItems": "entries: at least",
    "maxItems": "entries: at most",
}
"""Words for the bounds of a JSON schema."""


def bounds(field: Mapping[str, Any]) -> str:
    """The bounds of a field of a JSON schema in words, such as "at least 0, at most 255"; '' where it has none."""
    found = {name: limit for part in (field, *field.get("anyOf", ())) for name, limit in part.items() if name in BOUNDS}
    return ", ".join(f"{BOUNDS[name]} {found[name]:g}" for name in BOUNDS if name in found)


def digest(value: object) -> str:
    """SHA-256 of any JSON value in canonical form, 16 hex digits."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
