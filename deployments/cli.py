"""The command line: each command runs the Prefect flow of the same name, with no server started by hand.

Commands live in `deployments/commands/`, a file for each group. A new group is a file there with an `app` and its
commands (`deployments/options.py` shows one), and a line below. This module and all that it imports read neither torch nor
Prefect nor pyarrow, so that `wmsd --help` answers at once.

A mistake of the user's ends in one line that says what to change, and exit status 2; a failure of the work in status 1.
"""

from typing import Annotated

import typer

from deployments import interruption, start
from deployments.commands import (
    browsing,
    data,
    evaluation,
    files,
    miniature,
    pipeline,
    project,
    study,
    training,
    up,
    verify,
)
from deployments.options import err, out
from wmsd_core import __version__
from wmsd_core.unicode import visible

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _tell_version(wanted: bool) -> None:
    if wanted:
        out.print(f"wmsd {__version__}", highlight=False)
        raise typer.Exit


@app.callback()
def top(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and end.", is_eager=True, callback=_tell_version)
    ] = False,
) -> None:
    """World Model Self-Distillation: images become tasks, tasks become an Executor, the Executor is measured."""


app.add_typer(pipeline.app)
app.add_typer(data.app)
app.add_typer(files.app)
app.add_typer(browsing.app)
app.add_typer(training.app)
app.add_typer(evaluation.app)
app.add_typer(study.app)
app.add_typer(miniature.app, name="miniature")
app.add_typer(project.app)
app.add_typer(verify.app)
app.add_typer(up.app)


def main() -> None:
    """Entry point of the `wmsd` command."""
    start.begin()
    interruption.listen()
    try:
        app(standalone_mode=True)
        status = 0
    except BaseException as ended:
        status = _told(ended)
    start.leave(status)


def _told(ended: BaseException) -> int:
    """Tells how a command has ended otherwise than well; returns its status. A fault of the program is raised again."""
    if interruption.received:  # a library may make anything of it: a call that was broken off fails
        err.print(interruption.KEPT, markup=False, highlight=False, soft_wrap=True)
        return interruption.status()
    match ended:
        case SystemExit() | KeyboardInterrupt():
            return ended.code if isinstance(ended, SystemExit) and isinstance(ended.code, int) else 1
        case ValueError():
            return _complain("error", ended, 2)
        case OSError():
            return _complain("error", _system_error(ended), 1)
        case RuntimeError():
            return _complain("failed", ended, 1)
        case _:
            raise ended


def _complain(kind: str, cause: object, status: int) -> int:
    err.print(f"[bold red]{kind}:[/]", end=" ")
    err.print(visible(str(cause)), markup=False, highlight=False, soft_wrap=True)
    return status


def _system_error(error: OSError) -> str:
    where = f" ({error.filename})" if error.filename else ""
    return f"{error.strerror or error}{where}. Finished work is kept: run the same command again once this is mended"


if __name__ == "__main__":
    main()
