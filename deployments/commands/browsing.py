"""Frames and pairs to look through, and what a person says of them."""

from pathlib import Path
from typing import Annotated

import typer

from deployments.options import Existing, Later, Summary, command, note

app = typer.Typer()


@command(app)
def browse(
    given: Later,
    out: Annotated[Path | None, typer.Argument(help="Folder to write; else WORKSPACE/browser.")] = None,
    limit: Annotated[
        int, typer.Option("--limit", min=1, help="Most frames that are shown; of more, a random draw.")
    ] = 10_000,
) -> Summary:
    """Write a page of frames and pairs: what became of each and why, to be filtered, looked through and tagged.

    It saves tags as a file, which `wmsd tags` takes in. Files that never became frames are told by `wmsd files`.
    """
    from wmsd_core.worldtasks.browser import write_page

    place = given.place
    written = write_page(place.store, out or place.browser, given.configuration.measure, limit)
    beyond = {"frames left out": written.left_out} if written.left_out else {}
    counts = {"frames": written.frames, "pairs": written.pairs, "no picture": written.lost}
    return {"page": str(written.path)} | counts | beyond


@command(app)
def tags(
    given: Existing,
    file: Annotated[Path, typer.Argument(help="What the page of `wmsd browse` has saved.", show_default=False)],
) -> Summary:
    """Take in what was tagged on the page of `wmsd browse`; what is tagged `drop` is left out by the next `wmsd generate`.

    Taking a file in again changes nothing. A line with an empty tag forgets what was said of its item. Pairs that were imported
    are left out by the next `wmsd import` of their folder.
    """
    from wmsd_core.store import reading
    from wmsd_core.worldtasks.tags import take_in, waiting

    store = given.place.store
    taken = take_in(store, file)
    for line in taken.wrong:
        note("not taken", line)
    with reading(store) as con:
        left = waiting(con)
    return {name: value for name, value in vars(taken).items() if name != "wrong"} | {
        "not_taken": len(taken.wrong),
        "waiting_for_the_selection": left,
    }
