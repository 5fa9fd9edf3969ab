"""The whole method."""

import typer

from deployments.options import Intake, Summary, command

app = typer.Typer()


@command(app)
def pipeline(given: Intake) -> Summary:
    """Run every stage, from images to the report. What is done already is not done again."""
    configured, sources = given.configuration, given.sources
    from flows.pipeline import pipeline as flow

    return flow(given.place.root, configured, sources, given.refresh)
