"""Filters from outside: a package names a factory, and its measurement and threshold join those of the project."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from wmsd_core import registry


@dataclass(frozen=True)
class OutsideFilter:
    """What a factory named in `measure.extra` returns."""

    name: str
    """The measurement, in small letters, digits and underscores; `filter.extra` sets its limit by this name."""
    measure: Callable[[UInt8[np.ndarray, "H W"]], float]
    """Grey picture, at most `measure.working_width` wide -> figure; NaN: none, and none drops nothing. Called from threads."""
    limit: float
    """The threshold that holds where `filter.extra` names none. A frame at it is kept."""
    reason: str
    """What a frame beyond it is called, likewise in small letters."""
    title: str
    """What is measured, in words."""
    unit: str
    least: bool = True
    """Frames below the limit are dropped; else those above."""
    log: bool = False
    """Its values spread over orders of magnitude."""


_CODE = re.compile(r"[a-z][a-z0-9_]*")


def outside(names: Sequence[str]) -> tuple[OutsideFilter, ...]:
    """The filters that these factories make, in order.

    Raises:
        ValueError: one cannot be loaded, makes no filter, or two have a name in common.
    """
    made: dict[str, OutsideFilter] = {}
    for name in names:
        found = registry.make(name, {}, "filter")
        if not isinstance(found, OutsideFilter):
            raise ValueError(
                f"the factory '{name}' of measure.extra makes a {type(found).__name__}, not an OutsideFilter"
            )
        for code in (found.name, found.reason):
            if not _CODE.fullmatch(code):
                raise ValueError(f"filter '{name}': '{code}' is not of small letters, digits and underscores")
        if found.name in made:
            raise ValueError(f"measure.extra has two filters called '{found.name}'")
        made[found.name] = found
    return tuple(made.values())
