"""`wmsd doctor`: what this machine and environment have, what is missing for which use, and how to get it."""

import importlib
import importlib.metadata
import os
import platform
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import psutil

if TYPE_CHECKING:
    from wmsd_core.models import ModelsConfig
    from wmsd_core.recipe import Recipe
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
class Diagnosis:
    """One line of the diagnosis. `wrong` stops what the recipe does, `note` only limits what else can be done."""

    level: Literal["ok", "note", "wrong"]
    subject: str
    text: str


def examine(workspace: Path, recipe: "Recipe") -> Iterator[Diagnosis]:
    """Everything worth knowing before a run of this recipe, the slow checks last."""
    large = recipe.models.settings is not None
    yield from _machine(workspace, large)
    yield from _packages()
    yield from _imports(large)
    yield _store(workspace)
    models = recipe.models
    yield _weights(models)
    if models.settings is not None and recipe.train.rewards.pickscore:
        for subject, place in (("pickscore", models.pickscore), ("pickscore_processor", models.pickscore_processor)):
            yield _reached(subject, place, (), f"models.{subject}")
    yield _model_server(models.server, needed="vllm" in (models.writer, models.judge))


def _machine(workspace: Path, large: bool) -> Iterator[Diagnosis]:
    memory = psutil.virtual_memory()
    training = "what training takes is told by `wmsd train --dry-run`"
    needed, stored = (
        (training, training) if large else ("the miniature needs up to 4", "the miniature needs less than 1")
    )
    yield Diagnosis("ok", "python", f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    yield Diagnosis(
        "ok" if memory.available > 4 * 2**30 else "note",
        "memory",
        f"{memory.available / 2**30:.1f} of {memory.total / 2**30:.1f} GiB available; {needed}",
    )
    yield Diagnosis("ok", "cores", f"{os.cpu_count()}; OMP_NUM_THREADS={os.environ.get('OMP_NUM_THREADS', 'not set')}")
    place = next(folder for folder in (workspace.absolute(), *workspace.absolute().parents) if folder.exists())
    free = shutil.disk_usage(place).free
    yield Diagnosis(
        "ok" if free > 2**30 else "wrong",
        "disk",
        f"{free / 2**30:.1f} GiB free at {place}; {stored}",
    )


def _packages() -> Iterator[Diagnosis]:
    for name in PACKAGES:
        try:
            yield Diagnosis("ok", name, importlib.metadata.version(name))
        except importlib.metadata.PackageNotFoundError:
            yield Diagnosis("wrong", name, "not installed: run `make setup`")
    if tuple(int(part) for part in importlib.metadata.version("fastapi").split(".")[:2]) >= (0, 151):
        yield Diagnosis("wrong", "fastapi", "this release breaks Prefect's server: pip install 'fastapi>=0.139,<0.151'")


def _imports(large: bool) -> Iterator[Diagnosis]:
    import torch

    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    yield Diagnosis(
        "ok" if gpus else "note",
        "gpu",
        ", ".join(gpus)
        or f"none; {'a model of this size' if large else 'the miniature'} needs {'one' if large else 'none'}",
    )
    try:
        import torchvision  # pyright: ignore[reportUnusedImport] # noqa: F401
    except Exception as error:
        yield Diagnosis(
            "wrong", "torchvision", f"cannot be imported beside this torch: {error}; reinstall with `make setup`"
        )


def _weights(models: "ModelsConfig") -> Diagnosis:
    """Of the generator."""
    from wmsd_core.models import GENERATORS

    if models.settings is not None:
        module, _, generator = GENERATORS[models.generator].partition(":")
        parts = getattr(importlib.import_module(module), generator).parts
        return _reached("weights", models.settings.weights, parts, f"models.{models.generator}.weights")
    if models.generator not in GENERATORS:
        return Diagnosis("note", "weights", f"{models.generator} is not of this project, and looks for its own")
    if (file := models.miniature.file).is_file():
        return Diagnosis("ok", "weights", f"{file} ({file.stat().st_size / 2**20:.1f} MiB)")
    return Diagnosis(
        "wrong", "weights", f"{file} is missing: `wmsd miniature pretrain` makes it (about half an hour of one core)"
    )


def _reached(subject: str, weights: str, parts: Sequence[str], setting: str) -> Diagnosis:
    from wmsd_core.generators.checkpoints import reach

    try:
        found = reach(weights, parts, setting)
    except ValueError as error:
        return Diagnosis("wrong", subject, str(error))
    told = (
        f"{found.place} ({found.bytes / 2**30:.1f} GiB{'' if found.here else ', to be downloaded when first needed'})"
    )
    return Diagnosis("ok" if found.here else "note", subject, told)


def _store(workspace: Path) -> Diagnosis:
    from wmsd_core import store
    from wmsd_core.store import funnel
    from wmsd_core.workspace import Workspace

    path = Workspace(workspace).store
    if not path.exists():
        return Diagnosis("note", "store", f"none at {path} yet; any stage makes it")
    try:
        with store.reading(path) as con:
            frames = funnel.count(con, None)
    except store.StoreError as error:
        return Diagnosis("wrong", "store", str(error))
    return Diagnosis("ok", "store", f"{path}, {frames} frames")


def _model_server(server: "ServerConfig", *, needed: bool) -> Diagnosis:
    from wmsd_core.vlm.server import ServerVLM

    try:
        vlm = ServerVLM(server.model_copy(update={"connect_timeout": min(server.connect_timeout, 3.0)}))
    except ValueError as error:
        return Diagnosis(
            *(("wrong", "model server", str(error)) if needed else ("note", "model server", f"{error}; not needed"))
        )
    vlm.close()
    return Diagnosis("ok", "model server", f"{server.base_url} answers as {vlm.name}")
