"""What a project has and how it is set: settings and diagnosis."""

import typer
from rich.table import Table

from deployments.options import Configured, Rows, Work, command, out

app = typer.Typer()


@command(app)
def settings(given: Configured) -> Rows:
    """List every setting of a recipe with its value and what it means: the keys of --set."""
    from wmsd_core import overrides

    described = overrides.describe(given.configuration)
    return [{"key": one.key, "value": str(one.value), "meaning": one.meaning, "type": one.kind} for one in described]


@command(app)
def doctor(given: Work) -> None:
    """Check machine, packages, store, and the recipe's weights and model server; say how to mend what is wrong.

    Whether a training run fits is said by `wmsd train --dry-run`.
    """
    from deployments.doctor import examine

    marks = {"ok": "[green]ok[/]", "note": "[yellow]note[/]", "wrong": "[bold red]wrong[/]"}
    table = Table(box=None, show_header=False, pad_edge=False)
    wrong = False
    for finding in examine(given.workspace, given.configuration):
        table.add_row(marks[finding.level], finding.subject, finding.text)
        wrong |= finding.level == "wrong"
    out.print(table)
    if wrong:
        raise typer.Exit(1)
