"""What a project has and how it is set: settings and diagnosis."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from deployments import configuration, recipes
from deployments.options import Existing, Rows, Summary, Work, command, out

app = typer.Typer()


@command(app)
def init(
    workspace: Annotated[Path, typer.Argument(help="Folder of the new project.", show_default=False)],
    recipe: Annotated[str, typer.Option("--recipe", "-r", help=f"{', '.join(recipes.RECIPES)}.")] = "miniature",
) -> Summary:
    """Make a workspace with a wmsd.yaml: the settings that every command then reads there, with their meaning."""
    from wmsd_core.workspace import Workspace

    text = configuration.written(recipe)
    file = Workspace(workspace).prepare().root / configuration.FILE
    try:
        with file.open("x", encoding="utf-8") as new:
            new.write(text)
    except FileExistsError as error:
        raise ValueError(f"{file} is there already: change it, or delete it first") from error
    return {"written": str(file), "recipe": recipe}


@command(app)
def status(given: Existing) -> Rows:
    """List the stages that have finished in a workspace: when, how long it took, and what they caution of."""
    from wmsd_core.store import overview, reading

    with reading(given.place.store) as con:
        return overview.stages(con)


@command(app)
def runs(given: Existing) -> Rows:
    """List a workspace's training runs: arm, whether finished, last step, adapter and folder."""
    from wmsd_core.training.records import listed

    return listed(given.place.store)


@command(app)
def settings(given: Work) -> Rows:
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
