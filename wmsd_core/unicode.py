"""Text from outside as something that can be stored and shown: what has no shape of its own is spelt out.

A file name, a model's answer or a server's message may hold escape sequences that recolour a terminal or rewrite its lines,
marks that turn the direction of writing, or halves of characters that no database takes: UTF-8 holds no half of a surrogate
pair, but JSON and file names may.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

# C0 but for tab and newline, DEL, C1, line and paragraph separators, marks of direction, and lone surrogates
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def storable(text: str) -> str:
    """`text` with surrogates that have no partner written as escapes; any other text is returned as it is."""
    return text if text.isascii() else text.encode(errors="backslashreplace").decode()


def all_storable(value: Any) -> Any:
    """A value of JSON, or of columns, with every text in it storable."""
    return _mapped(value, storable)


def visible(text: str) -> str:
    """The text with each unseen character written as its escape, such as \\x1b."""
    return _UNSEEN.sub(lambda found: found[0].encode("unicode_escape", "surrogatepass").decode(), text)


def blotted(value: Any, secret: str) -> Any:
    """Plain JSON in which no text, nor any key, has `secret` in it; an empty secret is none."""
    return _mapped(value, lambda text: text.replace(secret, "***")) if secret else value


def cleaned(value: Any, secret: str = "") -> Any:
    """Plain JSON without `secret`, in which every text can be stored and shown."""
    return _mapped(blotted(value, secret), visible)


def _mapped(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {_mapped(key, change): _mapped(item, change) for key, item in value.items()}  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, list | tuple):
        return [_mapped(item, change) for item in value]  # pyright: ignore[reportUnknownVariableType]
    return value
