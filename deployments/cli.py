"""The command line: each command runs the Prefect flow of the same name, with no server started by hand.

A command builds the full configuration of its recipe, applies `--set`, and calls the flow. A mistake of the user's ends in
one line that says what to change, and exit status 2; a failure of the work in status 1.
"""

import atexit
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from deployments import recipes
from wmsd_core import overrides, store
from wmsd_core.frames.sources import checked, several
from wmsd_core.workspace import Workspace

if TYPE_CHECKING:
    from wmsd_core.recipe import Recipe

app = typer.Typer(
    help="World Model Self-Distillation: images become tasks, tasks become an Executor, the Executor is measured.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
miniature = typer.Typer(help="The small world on which the whole method runs in minutes.", no_args_is_help=True)
app.add_typer(miniature, name="miniature")

out = Console()
err = Console(stderr=True)

WorkspaceOption = Annotated[
    Path, typer.Option("--workspace", "-w", help="Folder that receives store, images, videos, checkpoints and report.")
]
FramesOption = Annotated[
    list[str] | None,
    typer.Option(
        "--frames",
        help="Your own images and videos, which are only read: a folder (searched recursively), a file, a pattern in quotes, "
        "or a manifest (.jsonl, .parquet). May be repeated.",
        metavar="SOURCE",
    ),
]
RecipeOption = Annotated[
    str, typer.Option("--recipe", "-r", help=f"Named configuration: {', '.join(recipes.RECIPES)}.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set", "-s", help="Change one setting, such as train.steps=20. May be repeated.", metavar="KEY=VALUE"
    ),
]
RefreshOption = Annotated[bool, typer.Option("--refresh", help="Forget this stage's earlier results and do it again.")]

HERE = Path("workspace")


def main() -> None:
    """Entry point of the `wmsd` command."""
    # No usage data leaves the machine, and a command that has its own progress display needs no debug output.
    os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
    os.environ.setdefault("DO_NOT_TRACK", "1")
    # One thread of arithmetic: a second one waits more than it works on a small network, and bits depend on their number.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    # A first start makes the server's database; on a busy machine the default of 20 s is too short for that.
    os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "180")
    logging.getLogger("prefect").addFilter(_without_traceback)
    for name in ("prefect.flow_runs", "prefect.task_runs", "prefect.engine"):
        logging.getLogger(name).addFilter(_without_traceback)
    try:
        app(standalone_mode=True)
        status = 0
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else 1
    except ValueError as error:
        status = _complain("error", error, 2)
    except OSError as error:
        status = _complain("error", _system_error(error), 1)
    except RuntimeError as error:
        status = _complain("failed", error, 1)
    _leave(status)


def _complain(kind: str, cause: object, status: int) -> int:
    err.print(f"[bold red]{kind}:[/]", end=" ")
    err.print(str(cause), markup=False, highlight=False, soft_wrap=True)
    return status


def _leave(status: int) -> None:
    """Ends the process after every exit handler has run, but before the interpreter is torn down.

    Prefect's daemon threads are alive then, hold DuckDB's connection type, and DuckDB's bindings print a page of "leaked"
    names for it over the result that the user wanted to read.
    """

    def end() -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)

    # Handlers run last in, first out: this one, registered before all others, is the last.
    _at_exit.append(end)
    sys.exit(status)


_at_exit: list[Callable[[], None]] = []


@atexit.register
def _run_last() -> None:
    for function in _at_exit:
        function()


def _without_traceback(record: logging.LogRecord) -> bool:
    """A user's mistake is told once, at the end, in one line; a traceback in front of it would bury it."""
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, ValueError | OSError)


def _system_error(error: OSError) -> str:
    where = f" ({error.filename})" if error.filename else ""
    return f"{error.strerror or error}{where}. Finished work is kept: run the same command again once this is mended"


def _configure(recipe: str, settings: list[str] | None) -> "Recipe":
    return overrides.apply(recipes.named(recipe), settings or [])


def _place(workspace: Path) -> Workspace:
    """The workspace, ready to use: what is wrong with it is said before a server is started."""
    place = Workspace(workspace).prepare()
    if place.store.exists():
        with store.writing(place.store):  # opens it, and brings an older one up to date
            pass
    return place


def _sources(frames: list[str]) -> list[str]:
    """Where frames come from, as absolute paths and patterns: what is wrong with one is said before a server is started."""
    return [source.name for source in checked(several(frames)).sources]


def _show(title: str, summary: dict[str, Any]) -> None:
    table = Table(title=title, title_justify="left", show_header=False, box=None, pad_edge=False)
    for name, value in summary.items():
        table.add_row(name.replace("_", " "), _text(value))
    out.print(table)


def _text(value: Any) -> str:
    match value:
        case int():
            return f"{value:,}"
        case float():
            return f"{value:.3f}"
        case dict():
            return ", ".join(f"{_text(item)} {name}" for name, item in value.items()) or "none"  # pyright: ignore[reportUnknownVariableType]
        case _:
            return str(value)


@app.command()
def pipeline(
    workspace: WorkspaceOption = HERE,
    frames: FramesOption = None,
    recipe: RecipeOption = "miniature",
    settings: SetOption = None,
    refresh: RefreshOption = False,
) -> None:
    """Run every stage, from images to the report. What is done already is not done again."""
    configured = _configure(recipe, settings)
    sources = _sources(frames) if frames else None
    from flows.pipeline import pipeline as flow

    _show("pipeline", flow(_place(workspace).root, configured, sources, refresh))


@app.command()
def dataset(
    workspace: WorkspaceOption = HERE,
    frames: FramesOption = None,
    recipe: RecipeOption = "worldtasks",
    settings: SetOption = None,
    refresh: RefreshOption = False,
) -> None:
    """Run the data stages: images and videos become task-solution pairs, divided into train and bench.

    The recipe `worldtasks` lets a model server write them: see `wmsd doctor`, and deployments/vllm/serve.sh.
    """
    configured = _configure(recipe, settings)
    place = _place(workspace)
    sources = _sources(frames or [str(place.frames)])
    from flows.dataset import dataset as flow

    _show("dataset", flow(place.root, sources, configured, refresh))


@app.command("filter")
def filter_(
    workspace: WorkspaceOption = HERE,
    frames: FramesOption = None,
    recipe: RecipeOption = "miniature",
    settings: SetOption = None,
    refresh: RefreshOption = False,
    preview: Annotated[
        bool,
        typer.Option("--preview", help="Only write a page that shows where these thresholds cut what was measured."),
    ] = False,
    calibrate: Annotated[
        str | None,
        typer.Option(
            "--calibrate", metavar="KEEP=SHARE", help="Only propose thresholds that keep this share, such as KEEP=0.8."
        ),
    ] = None,
) -> None:
    """Measure images and drop blurred, dark, bright, nearly empty, unreadable and duplicate ones."""
    configured = _configure(recipe, settings)
    place = _place(workspace)
    if calibrate:
        _calibrate(place, configured, calibrate)
    if preview:
        from wmsd_core.filters.preview import write_preview

        _show("preview", vars(write_preview(place.store, place.preview, configured.measure, configured.filter)))
    if calibrate or preview:
        return
    sources = _sources(frames or [str(place.frames)])
    from flows.filter import filter_frames as flow

    _show("filter", flow(place.root, sources, configured.scan, configured.measure, configured.filter, refresh))


def _calibrate(place: Workspace, configured: "Recipe", wish: str) -> None:
    from wmsd_core.filters.calibrate import calibrate

    name, _, share = wish.rpartition("=")
    try:
        keep = float(share)
    except ValueError:
        keep = None
    if keep is None or name.strip().upper() not in ("", "KEEP"):
        raise ValueError(f"'{wish}' is not of the form KEEP=0.8")
    found = calibrate(place.store, configured.measure, configured.filter, keep)
    _show(
        "calibrate",
        {
            "measured frames": found.frames,
            "kept by these thresholds": f"{found.kept:,} ({100 * found.kept / found.frames:.1f} %)",
            "dropped by size, shape, bars and text": found.ruled_out,
            **{f"dropped by {p.setting} alone": p.drops for p in found.proposals},
        },
    )
    out.print("\nNothing is changed. To apply them, give the filter these options:")
    options = " ".join(f"--set filter.{p.setting}={p.value}" for p in found.proposals)
    out.print(options, soft_wrap=True, markup=False, highlight=False)


@app.command()
def dedup(
    workspace: WorkspaceOption = HERE,
    recipe: RecipeOption = "miniature",
    settings: SetOption = None,
    refresh: RefreshOption = False,
) -> None:
    """Keep one of several images that show the same."""
    configured = _configure(recipe, settings)
    from flows.dedup import dedup as flow

    _show("dedup", flow(_place(workspace).root, configured.measure, configured.dedup, refresh))


@app.command()
def rank(
    workspace: WorkspaceOption = HERE,
    recipe: RecipeOption = "miniature",
    settings: SetOption = None,
    refresh: RefreshOption = False,
) -> None:
    """Score the images that passed the filter and keep the best fraction."""
    configured = _configure(recipe, settings)
    from flows.rank import rank as flow

    _show("rank", flow(_place(workspace).root, configured.measure, configured.rank, refresh))


@app.command()
def screen(
    workspace: WorkspaceOption = HERE,
    recipe: RecipeOption = "miniature",
    settings: SetOption = None,
    refresh: RefreshOption = False,
) -> None:
    """Ask the vision-language model in which images an agent can do something."""
    configured = _configure(recipe, settings)
    from flows.screen import screen as flow

    _show("screen", flow(_place(workspace).root, configured.screen, configured.models, refresh))


@app.command()
def generate(
    workspace: WorkspaceOption = HERE,
    recipe: RecipeOption = "miniature",
    settings: SetOption = None,
    refresh: RefreshOption = False,
) -> None:
    """Write task-solution pairs for each image, label and select them, and split images into train and bench.

    Pairs that cannot be used are kept in the table rejected_pairs with their reason. Second looks at each pair, wishes for
    kinds of tasks, caps and labels by the model are off; `wmsd settings` lists generate.*, select.* and label.*.
    """
    configured = _configure(recipe, settings)
    from flows.generate import generate as flow

    root, c = _place(workspace).root, configured
    _show("generate", flow(root, c.generate, c.split, c.models, refresh, c.label, c.select))


@app.command()
def export(
    out: Annotated[
        Path, typer.Argument(help="Folder to write. An earlier export there is replaced; no other file is.")
    ] = Path("dataset"),
    workspace: WorkspaceOption = HERE,
    recipe: RecipeOption = "miniature",
    settings: SetOption = None,
    formats: Annotated[
        list[str] | None,
        typer.Option(
            "--format",
            "-f",
            help="parquet or jsonl (records for datasets.load_dataset), duckdb, or worldtasks (the published layout). "
            "May be repeated; parquet and jsonl if left out.",
        ),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Only check that train and bench are apart; write nothing.")
    ] = False,
) -> None:
    """Write pictures, tasks, solutions, splits and a dataset card to a folder.

    The folder appears complete or not at all. A set whose benchmark holds anything of its training set (the same image, a
    look-alike, the same or a copied text) is not written.
    """
    chosen = [f"export.formats=[{', '.join(formats)}]"] if formats else []
    configured = _configure(recipe, [*chosen, *(settings or [])])
    root = _place(workspace).root
    from flows.export import check_export
    from flows.export import export as flow

    if check:
        _show("export --check", check_export(root, configured.split))
    else:
        _show("export", flow(root, out, configured.export, configured.split))


@app.command("import")
def import_(
    folder: Annotated[Path, typer.Argument(help="Folder with train/train.jsonl, train/images, bench/bench.jsonl, ...")],
    workspace: WorkspaceOption = HERE,
    recipe: RecipeOption = "miniature",
    settings: SetOption = None,
) -> None:
    """Take a dataset in the published WorldTasks layout: its images, pairs and splits, as they are.

    Incomplete entries are skipped and counted. Name other files and fields with --set importing.files and importing.task;
    wmsd settings lists them. Afterwards go on with wmsd train; wmsd generate would write these images' pairs anew.
    """
    from wmsd_core.worldtasks.layout import Layout

    configured = _configure(recipe, settings)
    Layout(folder, configured.importing)  # a wrong folder is said at once, before a server is started
    from flows.export import import_ as flow

    root = _place(workspace).root
    _show("import", flow(root, folder, configured.importing, configured.scan, configured.split))


@app.command()
def train(
    workspace: WorkspaceOption = HERE,
    recipe: RecipeOption = "miniature",
    settings: SetOption = None,
    refresh: RefreshOption = False,
) -> None:
    """Distil the Demonstrator into the Executor. Stop it at any time: it resumes from its last checkpoint."""
    configured = _configure(recipe, settings)
    from flows.train import train as flow

    _show("train", flow(_place(workspace).root, configured.train, configured.models, configured.launch, refresh))


@app.command("label-videos")
def label_videos(
    videos: Annotated[
        Path, typer.Argument(help="Folder of recorded videos, searched recursively. They are only read.")
    ],
    run: Annotated[Path, typer.Argument(help="Folder of the training run that is made: examples, clips, run.json.")],
    recipe: RecipeOption = "miniature",
    settings: SetOption = None,
) -> None:
    """Name a task for each recorded video, for supervised fine-tuning: then `python -m wmsd_core.training RUN`."""
    configured = _configure(recipe, settings)
    from flows.recordings import label_videos as flow

    _show("label-videos", flow(videos, run, configured.recordings, configured.train, configured.models))


@app.command()
def evaluate(workspace: WorkspaceOption = HERE, recipe: RecipeOption = "miniature", settings: SetOption = None) -> None:
    """Generate and judge held-out videos of base, Demonstrator and Executor, from the same noise."""
    configured = _configure(recipe, settings)
    from flows.evaluate import evaluate as flow

    root = _place(workspace).root
    _show("evaluate", flow(root, configured.evaluate, configured.train, configured.models))


@app.command()
def report(workspace: WorkspaceOption = HERE) -> None:
    """Write the HTML report of whatever the workspace holds."""
    from flows.report import report as flow

    _show("report", flow(_place(workspace).root))


@miniature.command("render")
def miniature_render(
    workspace: WorkspaceOption = HERE, recipe: RecipeOption = "miniature", settings: SetOption = None
) -> None:
    """Render the miniature's image files, with planted defects among them."""
    configured = _configure(recipe, settings)
    if configured.render is None:
        raise ValueError(f"recipe '{recipe}' renders no images; use --recipe miniature")
    from flows.miniature import render as flow

    _show("render", flow(_place(workspace).root, configured.render))


@miniature.command("pretrain")
def miniature_pretrain(
    output: Annotated[Path, typer.Option("--output", "-o", help="The safetensors file to write.")] = Path(
        "base.safetensors"
    ),
    settings: SetOption = None,
) -> None:
    """Recreate the miniature's base weights from nothing (about half an hour of one core)."""
    from flows.pretrain import pretrain as flow
    from wmsd_core.miniature.pretrain import PretrainConfig

    _show("pretrain", flow(output, overrides.apply(PretrainConfig(), settings or [])))


@app.command("settings")
def settings_(recipe: RecipeOption = "miniature", settings: SetOption = None) -> None:
    """List every setting of a recipe with its value and what it means: the keys of --set."""
    table = Table(box=None, pad_edge=False)
    for heading in ("key", "value", "meaning"):
        table.add_column(heading, overflow="fold")
    for setting in overrides.describe(_configure(recipe, settings)):
        table.add_row(setting.key, str(setting.value), setting.meaning)
    out.print(table)


@app.command()
def doctor(workspace: WorkspaceOption = HERE, recipe: RecipeOption = "miniature", settings: SetOption = None) -> None:
    """Check machine, packages, weights, store and model server, and say how to mend what is wrong."""
    from deployments.doctor import examine

    marks = {"ok": "[green]ok[/]", "note": "[yellow]note[/]", "wrong": "[bold red]wrong[/]"}
    table = Table(box=None, show_header=False, pad_edge=False)
    wrong = False
    for finding in examine(workspace, _configure(recipe, settings).models.server):
        table.add_row(marks[finding.level], finding.subject, finding.text)
        wrong |= finding.level == "wrong"
    out.print(table)
    if wrong:
        raise typer.Exit(1)
