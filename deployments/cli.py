"""The command line: each command runs the Prefect flow of the same name, with no server started by hand.

Commands live in `deployments/commands/`, a file for each group. A new group is a file there with an `app` and its
commands (`deployments/options.py` shows one), and a line below. This module and all that it imports read neither torch nor
Prefect nor pyarrow, so that `wmsd --help` answers at once.

A mistake of the user's ends in one line that says what to change, and exit status 2; a failure of the work in status 1.
"""

from typing import Annotated

import typer

from deployments import interruption, start
from deployments.commands import data, evaluation, files, miniature, pipeline, project, study, training, up, verify
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
    except (KeyboardInterrupt, SystemExit) as ended:
        status = ended.code if isinstance(ended, SystemExit) and isinstance(ended.code, int) else 1
        if interruption.received:  # typer makes an exit of it, without a word
            err.print(interruption.KEPT, markup=False, highlight=False, soft_wrap=True)
            status = interruption.status()
    except ValueError as error:
        status = _complain("error", error, 2)
    except OSError as error:
        status = _complain("error", _system_error(error), 1)
    except RuntimeError as error:
        status = _complain("failed", error, 1)
    start.leave(status)


def _complain(kind: str, cause: object, status: int) -> int:
    err.print(f"[bold red]{kind}:[/]", end=" ")
    err.print(visible(str(cause)), markup=False, highlight=False, soft_wrap=True)
    return status


def _system_error(error: OSError) -> str:
    where = f" ({error.filename})" if error.filename else ""
    return f"{error.strerror or error}{where}. Finished work is kept: run the same command again once this is mended"


if __name__ == "__main__":
    main()
