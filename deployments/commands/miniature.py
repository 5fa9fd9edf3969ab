"""The small world on which the whole method runs in minutes."""

from pathlib import Path
from typing import Annotated

import typer

from deployments.options import Summary, Work, command
from deployments.server import orchestration

app = typer.Typer(help="The small world on which the whole method runs in minutes.", no_args_is_help=True)


@command(app)
def render(given: Work) -> Summary:
    """Render the miniature's image files, with planted defects among them."""
    configured = given.configuration
    if configured.render is None:
        raise ValueError(f"recipe '{given.recipe}' renders no images; use --recipe miniature")
    root = given.place.root
    with orchestration("flows.miniature"):
        from flows.miniature import render as flow

        return flow(root, configured.render)


@command(app)
def film(
    folder: Annotated[Path, typer.Argument(help="Folder that receives the videos.")],
    settings: Annotated[
        list[str] | None, typer.Option("--set", "-s", help="Change one setting.", metavar="KEY=VALUE")
    ] = None,
) -> Summary:
    """Film recorded videos that nobody has named a task for: then `wmsd label-videos FOLDER RECORDINGS`."""
    from wmsd_core import overrides
    from wmsd_core.miniature.films import FilmConfig

    config = overrides.apply(FilmConfig(), settings or [])
    with orchestration("flows.miniature"):
        from flows.miniature import film as flow

        return flow(folder, config)


@command(app)
def pretrain(
    output: Annotated[Path, typer.Option("--output", "-o", help="The safetensors file to write.")] = Path(
        "base.safetensors"
    ),
    settings: Annotated[
        list[str] | None, typer.Option("--set", "-s", help="Change one setting.", metavar="KEY=VALUE")
    ] = None,
) -> Summary:
    """Recreate the miniature's base weights from nothing (about half an hour of one core)."""
    from flows.pretrain import pretrain as flow
    from wmsd_core import overrides
    from wmsd_core.miniature.pretrain import PretrainConfig

    return flow(output, overrides.apply(PretrainConfig(), settings or []))


@command(app, name="pretrain-ltx2")
def pretrain_ltx2(
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder of the pipeline.")] = Path(
        "miniature-ltx2"
    ),
    settings: Annotated[
        list[str] | None, typer.Option("--set", "-s", help="Change one setting.", metavar="KEY=VALUE")
    ] = None,
    questions: Annotated[int, typer.Option(min=1, help="Held-out tasks of the exam at its end.")] = 400,
) -> Summary:
    """Teach an LTX-2 of the miniature's size its motions, from nothing (hours of one core); stopped, it goes on."""
    from flows.pretrain import pretrain_ltx2 as flow
    from wmsd_core import overrides
    from wmsd_core.miniature.pretrain_ltx2 import PretrainLtx2Config

    return flow(output, overrides.apply(PretrainLtx2Config(), settings or []), questions)


@command(app)
def ltx2(
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder of the pipeline.")] = Path(
        "miniature-ltx2"
    ),
) -> Summary:
    """Write the miniature's LTX-2 as it was taught before, in the layout of diffusers: what recipe miniature-ltx2 distils."""
    from wmsd_core.miniature.taught_ltx2 import unpack

    taught = unpack(output)
    return {"output": str(output), "clips that it has seen": taught.clips}


@command(app, name="pack-ltx2")
def pack_ltx2(
    folder: Annotated[Path, typer.Argument(help="A folder that pretrain-ltx2 has finished.")],
    file: Annotated[Path, typer.Argument(help="The safetensors file to write.")],
    settings: Annotated[
        list[str] | None, typer.Option("--set", "-s", help="A setting that it was taught with.", metavar="KEY=VALUE")
    ] = None,
) -> Summary:
    """Pack a pipeline of pretrain-ltx2 into one small file, as the one that comes with the project."""
    from wmsd_core import overrides
    from wmsd_core.miniature.pretrain_ltx2 import PretrainLtx2Config
    from wmsd_core.miniature.taught_ltx2 import pack

    pack(folder, overrides.apply(PretrainLtx2Config(), settings or []), file)
    return {"file": str(file), "bytes": file.stat().st_size}
