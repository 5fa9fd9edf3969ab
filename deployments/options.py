"""Options that many commands share, said once, and how a command becomes one of `wmsd`.

A command is a function whose parameters are single options, or one of the dataclasses below, whose fields are options:

    app = typer.Typer()

    @command(app)
    def dedup(given: Stage) -> Summary:
        \"\"\"Keep one of several images that show the same.\"\"\"
        from flows.dedup import dedup as flow

        c = given.configuration
        return flow(given.place.root, c.measure, c.dedup, refresh=given.refresh)

What it returns is shown as a table, or printed as JSON with `--json`; a stage that leaves nothing ends with status 2.
Whatever is heavy is imported inside the function: `wmsd --help` reads all of these modules and must answer at once.
"""

import dataclasses
import inspect
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, redirect_stdout
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, get_type_hints

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from deployments import configuration, recipes
from tasks.stages import PARTS
from wmsd_core.unicode import visible

if TYPE_CHECKING:
    from wmsd_core.recipe import Recipe
    from wmsd_core.workspace import Workspace

Summary = Mapping[str, Any]
Rows = Sequence[Mapping[str, Any]]

HERE = Path("workspace")


@dataclass(frozen=True)
class Told:
    """A result that people are shown otherwise than programs, who get it with `--json`, or rows through a pipe."""

    people: Summary | Rows
    programs: Summary | Rows


Result = Summary | Rows | Told | None

AT_ONCE = 3.0
"""Seconds in which a running stage has written its rows; who holds a store longer is another program."""

out = Console()
err = Console(stderr=True)


@dataclass(frozen=True, kw_only=True)
class Configured:
    """A recipe, with single settings changed."""

    default_recipe: ClassVar[str] = "miniature"

    recipe: Annotated[
        str | None, typer.Option("--recipe", "-r", help=f"{', '.join(recipes.RECIPES)}, or a file such as wmsd.yaml.")
    ] = None
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", "-s", help="Change one setting, such as train.steps=20. May be repeated.", metavar="KEY=VALUE"
        ),
    ] = None

    @cached_property
    def configuration(self) -> "Recipe":
        """Every setting.

        Raises:
            ValueError: there is no such recipe or setting, or a value is refused.
        """
        return configuration.effective(self._home, self.recipe, self.settings or [], self.default_recipe)

    @property
    def _home(self) -> Path | None:
        """The workspace whose `wmsd.yaml` counts."""
        return None


@dataclass(frozen=True, kw_only=True)
class InWorkspace:
    """A workspace alone."""

    begins: ClassVar[bool] = True
    """Whether the command can be the first one in its workspace."""

    workspace: Annotated[
        Path, typer.Option("--workspace", "-w", help="Folder of store, images, videos, checkpoints and report.")
    ] = HERE

    @cached_property
    def place(self) -> "Workspace":
        """The workspace, ready to use: what is wrong with it is said before a server is started."""
        from wmsd_core import store
        from wmsd_core.workspace import Workspace

        if not self.begins and not Workspace(self.workspace).store.exists():
            raise ValueError(
                f"there is no store at {Workspace(self.workspace).store}; run an earlier stage first, or check --workspace"
            )
        place = Workspace(self.workspace).prepare()
        if place.store.exists():
            with store.writing(place.store, AT_ONCE):  # opens it, and brings an older one up to date
                pass
        return place


@dataclass(frozen=True, kw_only=True)
class Work(Configured, InWorkspace):
    """Work in a workspace by a recipe, or by what the workspace's `wmsd.yaml` says."""

    @property
    def _home(self) -> Path:
        return self.workspace


@dataclass(frozen=True, kw_only=True)
class Existing(InWorkspace):
    """A workspace that has a store."""

    begins: ClassVar[bool] = False


@dataclass(frozen=True, kw_only=True)
class Later(Work):
    """Work on what earlier stages have stored."""

    begins: ClassVar[bool] = False


@dataclass(frozen=True, kw_only=True)
class Repeatable(Later):
    """A stage whose results can be forgotten."""

    refresh: Annotated[bool, typer.Option("--refresh", help="Forget this stage's earlier results and do it again.")] = (
        False
    )


@dataclass(frozen=True, kw_only=True)
class Intake(Repeatable):
    """A stage that takes images and videos in."""

    begins: ClassVar[bool] = True

    frames: Annotated[
        list[str] | None,
        typer.Option(
            "--frames",
            help="Your own images and videos, which are only read: a folder (searched recursively), a file, a pattern in "
            "quotes, a shard (.tar, .parquet), a manifest (.jsonl, .csv, .parquet), or an address of these (s3://, https://): "
            "docs/frames.md. May be repeated.",
            metavar="SOURCE",
        ),
    ] = None

    @cached_property
    def sources(self) -> list[str] | None:
        """Where frames come from, as absolute paths and patterns: what is wrong with one is said before a server starts."""
        return self._checked(self.frames) if self.frames else None

    @property
    def sources_or_rendered(self) -> list[str]:
        """The sources, or what the miniature has rendered into the workspace."""
        return self.sources or self._checked([str(self.place.frames)])

    def _checked(self, frames: list[str]) -> list[str]:
        from wmsd_core.frames.sources import checked, several

        scan = self.configuration.scan
        return [source.name for source in checked(several(frames, scan.columns, scan.fetch.allow)).sources]


USES = {stage: {*parts} for stage, parts in PARTS.items()} | {
    "train": {*PARTS["train"], "launch"},
    "export": {"export", "split"},
    "import": {"importing", "scan", "split"},
}
"""Which parts of a recipe a command uses, of those that use few."""


def unused(command: str, settings: Sequence[str]) -> list[str]:
    """Keys given with --set that a command does not look at."""
    keys = [assignment.partition("=")[0].strip() for assignment in settings]
    return [key for key in keys if command in USES and key.partition(".")[0] not in USES[command]]


def command(
    app: typer.Typer, name: str | None = None, **options: Any
) -> Callable[[Callable[..., Result]], Callable[..., Result]]:
    """Registers a function as a command: its options said flat, its result shown or printed as JSON."""

    def register(function: Callable[..., Result]) -> Callable[..., Result]:
        title = name or function.__name__
        if isinstance(app.info.name, str):  # `bench export` is not `export`
            title = f"{app.info.name} {title}"
        grouped = _grouped(function)

        def run(**given: Any) -> None:
            as_json = given.pop("as_json")
            arguments = {
                parameter: kind(**{field.name: given.pop(field.name) for field in dataclasses.fields(kind)})
                for parameter, kind in grouped.items()
            }
            for one in arguments.values():
                for key in unused(title, one.settings or ()) if isinstance(one, Configured) else ():
                    note("note", f"`wmsd {title}` does not use {key}")
            # What a model or a scorer from outside prints is not part of the answer.
            with redirect_stdout(sys.stderr) if as_json else nullcontext():
                result = function(**arguments, **given)
            if result is not None:
                show(title, result, as_json=as_json)
            if isinstance(result, Mapping) and result.get("kept") == 0 and "caution" in result:
                raise typer.Exit(2)  # so that a script ends here, as the pipeline does

        run.__name__, run.__doc__ = function.__name__, function.__doc__
        run.__signature__ = _flat(function, grouped)  # pyright: ignore[reportFunctionMemberAccess]
        app.command(name or function.__name__, **options)(run)
        return function

    return register


def _grouped(function: Callable[..., Any]) -> dict[str, type]:
    hints = get_type_hints(function)
    return {
        name: kind
        for name, kind in hints.items()
        if name != "return" and isinstance(kind, type) and dataclasses.is_dataclass(kind)
    }


def _flat(function: Callable[..., Any], grouped: Mapping[str, type]) -> inspect.Signature:
    """The signature with the fields of each dataclass in place of it; by keyword, as typer calls."""
    hints = get_type_hints(function, include_extras=True)
    found: list[inspect.Parameter] = []
    for name, parameter in inspect.signature(function).parameters.items():
        if name not in grouped:
            found.append(parameter.replace(annotation=hints[name], kind=inspect.Parameter.KEYWORD_ONLY))
            continue
        kinds = get_type_hints(grouped[name], include_extras=True)
        found += [
            inspect.Parameter(
                field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=kinds[field.name]
            )
            for field in dataclasses.fields(grouped[name])
        ]
    as_json = Annotated[bool, typer.Option("--json", help="Print the result as JSON, for scripts.")]
    found.append(inspect.Parameter("as_json", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=as_json))
    return inspect.Signature(found)


def show(title: str, result: Summary | Rows | Told, *, as_json: bool = False) -> None:
    """A result for people; for programs as JSON, or, where rows go into a pipe, one line each, tabs between the cells."""
    if isinstance(result, Told):
        piped = not isinstance(result.people, Mapping) and not out.is_terminal
        result = result.programs if as_json or piped else result.people
    if as_json:
        sys.stdout.write(json.dumps(result, indent=2, default=str) + "\n")
    elif isinstance(result, Mapping):
        table = Table(title=title, title_justify="left", show_header=False, box=None, pad_edge=False)
        for name, value in result.items():
            table.add_row(Text(visible(name.replace("_", " "))), Text(_text(value)))
        out.print(table)
    elif out.is_terminal:
        table = Table(box=None, pad_edge=False)
        for heading in result[0] if result else ():
            table.add_column(heading.replace("_", " "), overflow="fold")
        for row in result:
            table.add_row(*(Text(_text(value)) for value in row.values()))
        out.print(table)
    else:
        for row in result:
            sys.stdout.write("\t".join(" ".join(_text(value).split()) for value in row.values()) + "\n")


def note(subject: str, found: Any) -> None:
    """One finding of work that takes a while, beside the result."""
    err.print(Text(f"{subject}: {_text(found)}"), soft_wrap=True)


def _text(value: Any) -> str:
    match value:
        case bool() | None:
            return json.dumps(value)
        case int():
            return f"{value:,}"
        case float():
            return f"{value:.3f}"
        case dict():
            return ", ".join(f"{_text(item)} {name}" for name, item in value.items()) or "none"  # pyright: ignore[reportUnknownVariableType]
        case list() | tuple():
            return ", ".join(map(_text, value)) or "none"  # pyright: ignore[reportUnknownArgumentType]
        case _:
            return visible(str(value))
