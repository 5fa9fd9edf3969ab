"""Everything that the Prefect UI needs, by one command."""

import time
from typing import Annotated

import typer

from deployments import interruption
from deployments.options import InWorkspace, Rows, command, err, out

app = typer.Typer()


@command(app)
def up(
    given: InWorkspace,
    port: Annotated[
        int, typer.Option("--port", min=1, max=65534, help="Of the Prefect server; pages are served on the next one.")
    ] = 4200,
    check: Annotated[
        bool, typer.Option("--check", help="Only say what is up, with status 1 where something is not.")
    ] = False,
) -> Rows | None:
    """Start a Prefect server, a worker and all deployments for a workspace, and serve its pages, until Ctrl-C.

    A server that answers already (PREFECT_API_URL, or on this port) is joined. All is on this machine's loopback alone.
    """
    root = given.place.root
    with err.status("reading Prefect"):
        from deployments import up as parts
    if check:
        found = parts.check(root, port)
        if any(row["state"] != "ok" for row in found):
            for row in found:
                out.print(f"{row['part']}: {row['state']}", markup=False, highlight=False, soft_wrap=True)
            raise typer.Exit(1)
        return found
    waiting = err.status("starting Prefect's server, the deployments and a worker: half a minute, the first time")
    with interruption.unwinding(lambda: True, lambda: None):
        try:
            waiting.start()
            with parts.up(root, port) as running:
                waiting.stop()
                out.print(f"Prefect's UI        {running.ui}{' (joined)' if running.joined else ''}", highlight=False)
                out.print(f"reports and pages   {running.pages}/", highlight=False)
                out.print(f"what it says        {running.log}", highlight=False, soft_wrap=True)
                out.print("Ctrl-C ends all of it; runs leave what they have finished, trainings a checkpoint.")
                while not (ended := running.ended()):
                    time.sleep(0.5)
                raise RuntimeError(f"{ended} has ended by itself: {running.log} says why")
        except KeyboardInterrupt:
            return None
        finally:
            waiting.stop()
