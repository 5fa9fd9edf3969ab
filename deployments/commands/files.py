"""What became of each input: the ledger of files and lines of manifests."""

from typing import Annotated

import typer

from deployments.options import Existing, Rows, command

app = typer.Typer()


@command(app)
def files(
    given: Existing,
    text: Annotated[
        str | None, typer.Argument(help="Show the inputs whose path holds this text; counts by reason if left out.")
    ] = None,
    fate: Annotated[str | None, typer.Option("--fate", help="registered, rejected or ignored.")] = None,
    reason: Annotated[str | None, typer.Option("--reason", help="One reason, such as duplicate or truncated.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Most inputs that are listed.")] = 100,
) -> Rows:
    """Say what became of each image, video and line of a manifest: registered, rejected or ignored, and why."""
    from wmsd_core.frames import ledger
    from wmsd_core.store import reading

    if fate not in (None, *ledger.FATES):
        raise ValueError(f"there is no fate '{fate}'; choose from: {', '.join(ledger.FATES)}")
    with reading(given.place.store) as con:
        if text is None and fate is None and reason is None:
            return [{"fate": fate, "reason": reason, "inputs": count} for fate, reason, count in ledger.tally(con)]
        found = ledger.look(con, fate, reason, text, limit)
    return [{"input": item, "fate": fate, "reason": reason, "detail": detail} for item, fate, reason, detail in found]
