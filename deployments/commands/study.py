"""Studies: many runs, one result."""

from pathlib import Path
from typing import Annotated

import typer

from deployments import recipes
from deployments.options import InWorkspace, Summary, command
from deployments.server import orchestration

app = typer.Typer()


@command(app)
def study(
    given: InWorkspace,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A study, such as docs/studies/arms.yaml.")],
    page: Annotated[
        bool, typer.Option("--page", help="Run nothing: make page and table again from the results.")
    ] = False,
    at_once: Annotated[int, typer.Option("--at-once", min=1, help="Runs at a time; each takes one core.")] = 2,
) -> Summary:
    """Train and measure several arms with several seeds, and say how they differ and how sure that is.

    FILE names arms, settings, seeds and predictions (docs/studies.md); all settings come from it. Stopped, it can go on.

    Beside FILE are written NAME.jsonl (every verdict), NAME.html (the page) and NAME.md (the tables).

    The last step is measured on a half of the benchmark that no curve is drawn on.
    """
    from wmsd_core.studies.study import planned, read

    found, results = read(file), file.resolve().with_suffix(".jsonl")
    recipe = recipes.named(found.recipe)
    runs = planned(found, recipe)
    if page:
        from wmsd_core.studies.page import rewrite

        return rewrite(found, runs, results)
    with orchestration("flows.study"):
        from flows.study import study as flow
        from tasks.runner import threads

        return flow.with_options(task_runner=threads(at_once))(given.place.root, found, recipe, results)
