"""The whole method."""

import typer

from deployments.options import Intake, Summary, command
from deployments.server import orchestration

app = typer.Typer()


@command(app)
def pipeline(given: Intake) -> Summary:
    """Run every stage, from images to the report. What is done already is not done again."""
    configured, sources, root = given.configuration, given.sources, given.place.root
    with orchestration("flows.pipeline"):
        from flows.pipeline import pipeline as flow

        return flow(root, configured, sources, refresh=given.refresh)
