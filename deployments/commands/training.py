"""Training of the Executor, and the naming of tasks for recorded videos."""

from pathlib import Path
from typing import Annotated

import typer

from deployments.options import Configured, Repeatable, Summary, Work, command, note
from deployments.server import orchestration

app = typer.Typer()


@command(app)
def train(
    given: Repeatable,
    start: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="CHECKPOINT",
            help="Begin at a checkpoint of another run (RUN/checkpoints/step-...), with other settings: train.start.",
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Train nothing: reach all that is needed, count memory by part, time a small step, refuse what cannot fit.",
        ),
    ] = False,
    join: Annotated[
        bool,
        typer.Option(
            "--join",
            help="Lend this machine to a run of several (launch.nodes) that the same command, without --join, leads elsewhere.",
        ),
    ] = False,
) -> Summary:
    """Distil the Demonstrator into the Executor. Stop it at any time: it resumes from its last checkpoint.

    With more train.steps a finished run goes on; smaller train.micro_batch resumes one that ran out of memory.
    """
    c, root = given.configuration, given.place.root
    training = c.train.model_copy(update={"start": start.absolute()}) if start else c.train
    if dry_run:
        from tasks.train import rehearse_run

        return rehearse_run(root, training, c.models, c.launch, tell=note)
    if join:
        from tasks.train import join_run

        return join_run(root, training, c.models, c.launch)
    with orchestration("flows.train"):
        from flows.train import train as flow

        return flow(root, training, c.models, c.launch, refresh=given.refresh)


@command(app)
def merge(
    out: Annotated[Path, typer.Argument(help="Folder to write; it appears complete or not at all.")],
    given: Work,
    adapter: Annotated[
        Path | None,
        typer.Option(
            "--adapter", metavar="DIR", help="An adapter's folder, such as RUN/best. Default: the run's last one."
        ),
    ] = None,
) -> Summary:
    """Write the generator with the Executor merged into its weights, as a pipeline of diffusers that needs no adapter."""
    c = given.configuration
    from tasks.train import merge_run

    return merge_run(given.place.root, c.train, c.models, out, adapter)


@command(app, "label-videos")
def label_videos(
    videos: Annotated[
        Path, typer.Argument(help="Folder of recorded videos, searched recursively. They are only read.")
    ],
    run: Annotated[Path, typer.Argument(help="Folder to write: examples, clips, and a run.json.")],
    given: Configured,
) -> Summary:
    """Name a task for each recorded video, for fine-tuning: `wmsd train --set train.arm=sft --set train.recordings=RUN`."""
    c = given.configuration
    with orchestration("flows.recordings"):
        from flows.recordings import label_videos as flow

        return flow(videos, run, c.recordings, c.train, c.models)
