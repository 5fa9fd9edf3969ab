"""`wmsd doctor`: what this machine and environment have, what is missing for which use, and how to get it."""

import importlib.metadata
import os
import platform
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import psutil

if TYPE_CHECKING:
    from wmsd_core.vlm.settings import ServerConfig

PACKAGES = (
    "torch",
    "torchvision",
    "open-clip-torch",
    "diffusers",
    "transformers",
    "peft",
    "prefect",
    "fastapi",
    "duckdb",
)


@dataclass(frozen=True)
class Finding:
    """One line of the diagnosis. `wrong` stops the miniature, `note` only limits what else can be done."""

    level: Literal["ok", "note", "wrong"]
    subject: str
    text: str


def examine(workspace: Path, server: "ServerConfig") -> Iterator[Finding]:
    """Everything worth knowing before a run, the slow checks last."""
    yield from _machine(workspace)
    yield from _packages()
    yield from _imports()
    yield _weights()
    yield _store(workspace)
    yield _model_server(server)


def _machine(workspace: Path) -> Iterator[Finding]:
    memory = psutil.virtual_memory()
    yield Finding("ok", "python", f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    yield Finding(
        "ok" if memory.available > 4 * 2**30 else "note",
        "memory",
        f"{memory.available / 2**30:.1f} of {memory.total / 2**30:.1f} GiB available; the miniature needs up to 4",
    )
    yield Finding("ok", "cores", f"{os.cpu_count()}; OMP_NUM_THREADS={os.environ.get('OMP_NUM_THREADS', 'not set')}")
    place = next(folder for folder in (workspace.absolute(), *workspace.absolute().parents) if folder.exists())
    free = shutil.disk_usage(place).free
    yield Finding(
        "ok" if free > 2**30 else "wrong",
        "disk",
        f"{free / 2**30:.1f} GiB free at {place}; the miniature needs less than 1",
    )


def _packages() -> Iterator[Finding]:
    for name in PACKAGES:
        try:
            yield Finding("ok", name, importlib.metadata.version(name))
        except importlib.metadata.PackageNotFoundError:
            yield Finding("wrong", name, "not installed: run `make setup`")
    if tuple(int(part) for part in importlib.metadata.version("fastapi").split(".")[:2]) >= (0, 151):
        yield Finding("wrong", "fastapi", "this release breaks Prefect's server: pip install 'fastapi>=0.139,<0.151'")


def _imports() -> Iterator[Finding]:
    import torch

    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    yield Finding("ok" if gpus else "note", "gpu", ", ".join(gpus) or "none; the miniature needs none")
    try:
        import torchvision  # pyright: ignore[reportUnusedImport] # noqa: F401
    except Exception as error:
        yield Finding(
            "wrong", "torchvision", f"cannot be imported beside this torch: {error}; reinstall with `make setup`"
        )


def _weights() -> Finding:
    from wmsd_core.miniature.generator import WEIGHTS

    if WEIGHTS.is_file():
        return Finding("ok", "weights", f"{WEIGHTS} ({WEIGHTS.stat().st_size / 2**20:.1f} MiB)")
    return Finding(
        "wrong", "weights", f"{WEIGHTS} is missing: `wmsd miniature pretrain` makes it (about half an hour of one core)"
    )


def _store(workspace: Path) -> Finding:
    from wmsd_core import store
    from wmsd_core.workspace import Workspace

    path = Workspace(workspace).store
    if not path.exists():
        return Finding("note", "store", f"none at {path} yet; any stage makes it")
    try:
        with store.reading(path) as con:
            frames = store.query(con, "SELECT count(*) AS n FROM frames")[0]["n"]
    except store.StoreError as error:
        return Finding("wrong", "store", str(error))
    return Finding("ok", "store", f"{path}, {frames} frames")


def _model_server(server: "ServerConfig") -> Finding:
    from wmsd_core.vlm.server import ServerVLM

    try:
        vlm = ServerVLM(server.model_copy(update={"connect_timeout": min(server.connect_timeout, 3.0)}))
    except ValueError as error:
        return Finding("note", "model server", f"{error}; the miniature needs none")
    vlm.close()
    return Finding("ok", "model server", f"{server.base_url} answers as {vlm.name}")
