"""The environment that every HTML page is rendered in: what comes from outside is escaped, figures are set alike.

And one for templates of other texts.
"""

import json
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

_ASSETS = Path(__file__).parent / "assets"


def environment(templates: Path, *styles: str) -> Environment:
    """An environment for the HTML templates of a folder.

    Args:
        templates: the folder.
        styles: style sheets of that folder, which come after the one that all pages share.
    """
    made: Any = _strict(templates, autoescape=True)
    made.filters.update(percent=percent, signed=signed, count=count, embedded=embedded)
    sheets = [_ASSETS / "style.css", *(templates / name for name in styles)]
    made.globals["style"] = Markup("".join(sheet.read_text(encoding="utf-8") for sheet in sheets))
    return made


def text_environment(templates: Path) -> Environment:
    """An environment for the templates of a folder that are no HTML, such as Markdown: nothing is escaped by itself."""
    return _strict(templates, autoescape=False)


def _strict(templates: Path, *, autoescape: bool) -> Environment:
    return Environment(
        loader=FileSystemLoader(templates),
        autoescape=autoescape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def embedded(data: Any) -> Markup:
    """Plain data as JSON within a `script` element, which no text of it can end."""
    return Markup(json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c"))


def percent(share: float | None) -> str:
    """A share in per cent; a dash where there is none."""
    return "–" if share is None else f"{100 * share:.1f}"


def signed(difference: float) -> str:
    """A difference of shares in points, with its sign."""
    return f"{100 * difference:+.1f}".replace("-", "−")


def count(number: int) -> str:
    """A whole number with narrow spaces between the thousands."""
    return f"{number:,}".replace(",", "\u202f")
