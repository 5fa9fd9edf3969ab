"""Text from outside that can be stored and hashed: UTF-8 holds no half of a surrogate pair, but JSON and file names may."""

from typing import Any


def storable(text: str) -> str:
    """`text` with surrogates that have no partner written as escapes; any other text is returned as it is."""
    return text if text.isascii() else text.encode(errors="backslashreplace").decode()


def all_storable(value: Any) -> Any:
    """A value of JSON, or of columns, with every text in it storable."""
    match value:
        case str():
            return storable(value)
        case dict():
            return {all_storable(key): all_storable(item) for key, item in value.items()}
        case list():
            return [all_storable(item) for item in value]
        case _:
            return value
