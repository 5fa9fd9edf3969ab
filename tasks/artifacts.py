"""What each stage leaves in the Prefect UI for a person to read."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact
from prefect.logging import get_run_logger

from wmsd_core.unicode import visible
from wmsd_core.workspace import Workspace

NAME = 28
"""Characters of a name below a picture."""


class Markdown(str):
    """Text that is Markdown already; any other is text from outside."""

    __slots__ = ()


def publish_table(key: str, rows: Sequence[Mapping[str, Any]], description: str) -> None:
    """A table artifact; `key` is lower case with dashes. The description is logged too."""
    get_run_logger().info(description)
    create_table_artifact(key=key, table=[dict(row) for row in rows], description=description)


def publish_link(key: str, link: str, text: str, description: str) -> None:
    get_run_logger().info(description)
    create_link_artifact(key=key, link=link, link_text=text, description=description)


def publish_page(key: str, markdown: str, description: str) -> None:
    create_markdown_artifact(key=key, markdown=markdown, description=description)


def served(workspace: Path) -> bool:
    """Whether a browser can see the files of the workspace over http: `wmsd up` says so to what it starts."""
    theirs = os.environ.get("WMSD_WORKSPACE", "")
    return bool(os.environ.get("WMSD_PAGES") and theirs) and Path(theirs).resolve() == workspace.resolve()


def address(workspace: Path, path: Path) -> str:
    """Where a browser finds a file of the workspace: over http where it is served, else the file itself."""
    if not served(workspace):
        return path.absolute().as_uri()
    return f"{os.environ['WMSD_PAGES']}/{quote(short_path(workspace, path))}"


def short_path(workspace: Path, path: Path | str) -> str:
    """A path within the workspace from there; of one elsewhere, its last two parts: a table has no room for more."""
    path, root = Path(path).absolute(), workspace.absolute()
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(Path(*path.parts[-2:]))


def picture(workspace: Path, path: Path) -> Markdown:
    """A picture of the workspace."""
    return Markdown(f"![]({address(workspace, path)})")


def thumbnails(workspace: Path, frames: Mapping[str, Path]) -> dict[str, Markdown]:
    """Small pictures of frames (id -> file), by id: made once, and only of what can be decoded."""
    from wmsd_core.pages.images import write_thumbnail  # reads what draws, which takes a second

    folder, found = Workspace(workspace).pictures, dict[str, Markdown]()
    for frame, path in frames.items():
        small = folder / f"{frame}.png"
        if small.is_file() or write_thumbnail(path, small):
            found[frame] = picture(workspace, small)
    return found


def grid(pictures: Sequence[tuple[Markdown, str]]) -> Markdown:
    """Pictures beside each other, each below its name."""
    names = [name if len(name) <= NAME else f"{name[: NAME - 4]}..." for _, name in pictures]
    return table(names, [[shown for shown, _ in pictures]])


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Markdown:
    """A table in Markdown."""
    lines = [map(_cell, headings), ["---"] * len(headings), *(map(_cell, row) for row in rows)]
    return Markdown("\n".join(f"| {' | '.join(cells)} |" for cells in lines))


def _cell(text: str) -> str:
    """Text as Markdown that shows it as it is, on one line."""
    if isinstance(text, Markdown):
        return text
    return "".join(
        f"\\{letter}" if letter in "\\`*_{}[]<>#|!~" else letter for letter in " ".join(visible(text).split())
    )
