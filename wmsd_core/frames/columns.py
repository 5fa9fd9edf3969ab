"""What the columns of a table are called that names pictures, or holds them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from wmsd_core.config import Config
from wmsd_core.unicode import storable

PICTURES = ("image", "picture", "img", "jpg", "jpeg", "png", "webp", "bytes", "content")
"""Columns that are looked at for pictures where none is named."""
_LICENCES = ("licence", "license")


class Columns(Config):
    """Names of columns: of manifests, of tables with pictures inside, and of the keys of a WebDataset's JSON."""

    path: str = "path"
    """The file, in a manifest."""
    picture: str = ""
    """The pictures, in Parquet and Hugging Face datasets; empty: the first column that can hold some."""
    licence: str = ""
    """The licence; empty: licence or license."""
    source: str = "source"
    """Where the picture comes from."""

    def told(self, names: Iterable[str]) -> list[str]:
        """Those of `names` that say something about a picture."""
        return [name for name in names if name in (self.source, *self.licences)]

    @property
    def licences(self) -> tuple[str, ...]:
        return (self.licence,) if self.licence else _LICENCES


USUAL = Columns()


@dataclass(frozen=True)
class About:
    """What a row says about its picture."""

    source: str = ""
    licence: str = ""
    note: str = ""
    """Values that are no text were left out: which."""


NOTHING = About()


def about(row: Mapping[str, Any], columns: Columns) -> About:
    """Source and licence as `row` tells them."""
    told = {name: row.get(name) for name in (columns.source, *columns.licences)}
    texts = {name: storable(value) if isinstance(value, str) else "" for name, value in told.items()}
    odd = [name for name, value in told.items() if value is not None and not isinstance(value, str)]
    licence = next((texts[name] for name in columns.licences if texts[name]), "")
    return About(texts[columns.source], licence, "; ".join(f"its {name} is no text and was left out" for name in odd))
