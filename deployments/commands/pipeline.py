"""The whole method."""

from typing import Annotated

import typer

from deployments.options import Intake, Rows, Summary, command
from deployments.server import orchestration

app = typer.Typer()


@command(app)
def pipeline(
    given: Intake,
    plan: Annotated[
        bool,
        typer.Option(
            "--plan",
            help="Run nothing: list each stage with what it would do, why, and how long that is expected to take.",
        ),
    ] = False,
) -> Summary | Rows:
    """Run every stage, from images to the report. What is done already is not done again."""
    configured, sources = given.configuration, given.sources
    if plan:  # before the workspace is made
        from tasks.plan import plan as planned

        return planned(given.workspace, configured, sources)
    root = given.place.root
    with orchestration("flows.pipeline"):
        from flows.pipeline import pipeline as flow

        return flow(root, configured, sources, refresh=given.refresh)
