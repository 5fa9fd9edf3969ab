"""The benchmark and its page."""

import typer

from deployments.options import InWorkspace, Summary, Work, command

app = typer.Typer()


@command(app)
def evaluate(given: Work) -> Summary:
    """Generate and judge held-out videos of base, Demonstrator and Executor, from the same noise."""
    c = given.configuration
    from flows.evaluate import evaluate as flow

    return flow(given.place.root, c.evaluate, c.train, c.models)


@command(app)
def report(given: InWorkspace) -> Summary:
    """Write the HTML report of whatever the workspace holds."""
    from flows.report import report as flow

    return flow(given.place.root)
