"""Charts that were drawn before, in a folder: each by everything that it is a function of, so that none can be out of date."""

import dataclasses
import hashlib
from array import array
from collections.abc import Callable
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, cast

from markupsafe import Markup

from wmsd_core.config import digest
from wmsd_core.files import replacing, sha256


class Drawings:
    """A folder of drawings. Each file begins with the SHA-256 of the rest: one that was damaged is drawn again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._asked: set[str] = set()

    def of(self, arguments: tuple[Any, ...], draw: Callable[[], Markup]) -> Markup:
        """The drawing of `arguments`: numbers, texts, dataclasses, and sequences of them."""
        name = f"{digest([_program(), _plain(arguments)])}.svg"
        self._asked.add(name)
        if found := _read(self._folder / name):
            return Markup(found)
        drawn = draw()
        with replacing(self._folder / name) as partial:
            partial.write_text(f"{_sum(drawn)}\n{drawn}", encoding="utf-8")
        return drawn

    def forget_others(self) -> None:
        """Removes what nobody has asked for."""
        for path in self._folder.glob("*.svg"):
            if path.name not in self._asked:
                path.unlink(missing_ok=True)


@cache
def _program() -> list[str]:
    """What draws: our code, and the package that it calls."""
    return [sha256(Path(__file__).with_name("drawing.py")), metadata.version("matplotlib")]


def _plain(value: Any) -> Any:
    """As JSON; many numbers as the SHA-256 of their 64 bits each."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [_plain(getattr(value, each.name)) for each in dataclasses.fields(value)]
    if not isinstance(value, list | tuple):
        return value
    items = cast("list[Any] | tuple[Any, ...]", value)
    try:
        return hashlib.sha256(array("d", items).tobytes()).hexdigest()
    except TypeError:  # they are no numbers
        return [_plain(item) for item in items]


def _read(path: Path) -> str:
    """A drawing; '' where it is not there, or not what was written."""
    try:
        known, _, text = path.read_text(encoding="utf-8").partition("\n")
    except (OSError, UnicodeDecodeError):
        return ""
    return text if known == _sum(text) else ""


def _sum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
