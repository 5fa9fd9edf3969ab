"""Whether a workspace is what its store says."""

from pathlib import Path
from typing import Annotated

import typer

from deployments.options import Existing, Rows, Summary, command, show

app = typer.Typer()


@command(app)
def verify(
    given: Existing,
    mend: Annotated[
        bool, typer.Option("--mend", help="Take back what is no longer true, so that it is done again.")
    ] = False,
    moved: Annotated[
        str | None,
        typer.Option(
            "--moved",
            metavar="OLD=NEW",
            help="A folder of pictures outside the workspace lies elsewhere now; re-point to it.",
        ),
    ] = None,
) -> Summary | Rows:
    """Check every file that the store names: pictures, videos, adapters, checkpoints, request log. Tell, and mend.

    A workspace that was moved or copied needs no help: it is re-pointed when it is first used.
    """
    from wmsd_core.integrity import verify as check

    old, equals, new = (moved or "").partition("=")
    if moved and not (equals and old and Path(new).is_dir()):
        raise ValueError(f"--moved {moved} is not of the form OLD=NEW, with NEW a folder that is there")
    folders = (Path(old), Path(new).resolve()) if moved else None
    faults = check(given.place, mend=mend, moved=folders)
    if not faults:
        return {"faults": "none, every file is as the store says"}
    rows = [
        {"what": one.what, "where": one.where, "fault": one.fault, "mended" if mend else "to mend": one.cure}
        for one in faults
    ]
    if mend:
        return rows
    show("verify", rows)
    raise ValueError(f"{len(faults)} faults: `wmsd verify --mend` mends what can be mended")
