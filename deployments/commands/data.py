"""The data stages: images and videos become task-solution pairs, and leave or enter as a dataset."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import typer

from deployments import server
from deployments.options import Intake, Repeatable, Summary, Work, command, out, show
from deployments.server import orchestration

if TYPE_CHECKING:
    from wmsd_core.recipe import Recipe
    from wmsd_core.workspace import Workspace

app = typer.Typer()


class Own(Intake):
    """A stage that is meant for one's own images, not for the miniature's."""

    default_recipe: ClassVar[str] = "worldtasks"


@command(app)
def dataset(given: Own) -> Summary:
    """Run the data stages: images and videos become task-solution pairs, divided into train and bench.

    The recipe `worldtasks` lets a model server write them: see `wmsd doctor`, and deployments/vllm/serve.sh.
    """
    configured, sources, root = given.configuration, given.sources_or_rendered, given.place.root
    with orchestration("flows.dataset"):
        from flows.dataset import dataset as flow

        return flow(root, sources, configured, refresh=given.refresh)


@command(app, "filter")
def filter_(
    given: Intake,
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
) -> Summary | None:
    """Measure images and drop blurred, dark, bright, nearly empty, unreadable and duplicate ones."""
    c, place = given.configuration, given.place
    if calibrate:
        _calibrate(place, c, calibrate)
    if preview:
        from wmsd_core.filters.preview import write_preview

        return vars(write_preview(place.store, place.preview, c.measure, c.filter))
    if calibrate:
        return None
    # What is registered needs no look at its files, and a new threshold no more than a query.
    sources = given.sources if place.store.exists() else given.sources_or_rendered
    if not (sources or given.refresh or server.configured()):  # a run on a temporary server would be seen by nobody
        from tasks.rejudging import rejudge

        if found := rejudge(place.root, c.scan, c.measure, c.filter):
            return found
    with orchestration("flows.filter"):
        from flows.filter import filter_frames as flow

        return flow(place.root, sources, c.scan, c.measure, c.filter, refresh=given.refresh)


def _calibrate(place: "Workspace", configured: "Recipe", wish: str) -> None:
    from wmsd_core.filters.calibrate import calibrate

    name, _, share = wish.rpartition("=")
    try:
        keep = float(share)
    except ValueError:
        keep = None
    if keep is None or name.strip().upper() not in ("", "KEEP"):
        raise ValueError(f"'{wish}' is not of the form KEEP=0.8")
    found = calibrate(place.store, configured.measure, configured.filter, keep)
    show(
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


@command(app)
def dedup(given: Repeatable) -> Summary:
    """Keep one of several images that show the same."""
    c, root = given.configuration, given.place.root
    with orchestration("flows.dedup"):
        from flows.dedup import dedup as flow

        return flow(root, c.measure, c.dedup, refresh=given.refresh)


@command(app)
def rank(given: Repeatable) -> Summary:
    """Score the images that passed the filter and keep the best fraction."""
    c, root = given.configuration, given.place.root
    with orchestration("flows.rank"):
        from flows.rank import rank as flow

        return flow(root, c.measure, c.rank, refresh=given.refresh)


@command(app)
def screen(given: Repeatable) -> Summary:
    """Ask the vision-language model in which images an agent can do something."""
    c, root = given.configuration, given.place.root
    with orchestration("flows.screen"):
        from flows.screen import screen as flow

        return flow(root, c.screen, c.models, refresh=given.refresh)


@command(app)
def generate(given: Repeatable) -> Summary:
    """Write task-solution pairs for each image, label and select them, and split images into train and bench.

    Pairs that cannot be used are kept in the table rejected_pairs with their reason. Second looks at each pair, wishes for
    kinds of tasks, caps and labels by the model are off; `wmsd settings` lists generate.*, select.* and label.*.
    """
    c, root = given.configuration, given.place.root
    with orchestration("flows.generate"):
        from flows.generate import generate as flow

        return flow(
            root,
            c.generate,
            labelling=c.label,
            selection=c.select,
            splitting=c.split,
            models=c.models,
            refresh=given.refresh,
        )


@command(app)
def export(
    given: Work,
    folder: Annotated[
        Path,
        typer.Argument(metavar="OUT", help="Folder to write. An earlier export there is replaced; no other file is."),
    ] = Path("dataset"),
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
) -> Summary:
    """Write pictures, tasks, solutions, splits and a dataset card to a folder.

    The folder appears complete or not at all. A set whose benchmark holds anything of its training set (the same image, a
    look-alike, the same or a copied text) is not written.
    """
    c, root = given.configuration, given.place.root
    with orchestration("flows.export"):
        from flows.export import check_export
        from flows.export import export as flow

        if check:
            return check_export(root, c.split)
        wanted = (
            c.export if not formats else type(c.export).model_validate(c.export.model_dump() | {"formats": formats})
        )
        return flow(root, folder, wanted, c.split)


@command(app, "import")
def import_(
    folder: Annotated[Path, typer.Argument(help="Folder with train/train.jsonl, train/images, bench/bench.jsonl, ...")],
    given: Work,
) -> Summary:
    """Take a dataset in the published WorldTasks layout: its images, pairs and splits, as they are.

    Incomplete entries are skipped and counted. Name other files and fields with --set importing.files and importing.task;
    wmsd settings lists them. Afterwards go on with wmsd train; wmsd generate would write these images' pairs anew.
    """
    from wmsd_core.worldtasks.layout import Layout

    c = given.configuration
    root = given.place.root
    Layout(folder, c.importing)  # a wrong folder is said at once, before a server is started
    with orchestration("flows.export"):
        from flows.export import import_ as flow

        return flow(root, folder, c.importing, c.scan, c.split)
