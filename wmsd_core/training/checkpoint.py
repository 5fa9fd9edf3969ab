"""Checkpoints: safetensors and JSON in one folder, complete or absent, verified when read. Nothing is pickled.

    checkpoints/step-00000010/tensors-00000-of-00002.safetensors   adapters and optimizer moments: each process of the
    checkpoints/step-00000010/tensors-00001-of-00002.safetensors   run writes its share, and reads all
    checkpoints/step-00000010/state.json                           counters, and the identity of the run
    checkpoints/step-00000010/manifest.json                        SHA-256 of the others

There is no random state to save: every draw comes from a seed derived from (run seed, purpose, example, position).
"""

import json
import os
import shutil
from collections import ChainMap
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from wmsd_core.training.config import KEPT
from wmsd_core.training.distributed import ALONE, World
from wmsd_core.training.sealing import fault, seal


@dataclass(frozen=True)
class Checkpoint:
    tensors: Mapping[str, torch.Tensor]
    counters: Mapping[str, int]
    """`step` is the number of steps done; the others belong to whoever put them there."""


def save(folder: Path, checkpoint: Checkpoint, identity: Mapping[str, Any], world: World = ALONE) -> Path:
    """Writes a checkpoint so that a kill at any instant leaves either all of it or none, and drops old ones.

    Every process of the run calls this with the same tensors; each writes its share of them.

    Raises:
        ValueError: it cannot be written, as on a full disk; the checkpoints before it are kept.
    """
    target = folder / f"step-{checkpoint.counters['step']:08d}"
    try:
        _write(folder, target, checkpoint, identity, world)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(Publication(target).partial, ignore_errors=True)
        raise ValueError(
            f"the checkpoint of step {checkpoint.counters['step']} cannot be written below {folder}: {error}. It needs "
            f"{size(checkpoint) / 2**20:.0f} MiB; those before it are kept: run the same command again once there is room"
        ) from error
    return target


def size(checkpoint: Checkpoint) -> int:
    """Bytes of its tensors, all but all that it takes on the disk."""
    return sum(tensor.numel() * tensor.element_size() for tensor in checkpoint.tensors.values())


def _write(folder: Path, target: Path, checkpoint: Checkpoint, identity: Mapping[str, Any], world: World) -> None:
    publication = Publication(target)
    with publication if world.leads else nullcontext(publication.partial) as partial:
        world.barrier()  # the folder is there
        share = sorted(checkpoint.tensors)[world.rank :: world.size]
        name = f"tensors-{world.rank:05d}-of-{world.size:05d}.safetensors"
        save_file({key: checkpoint.tensors[key].contiguous() for key in share}, partial / name)
        world.barrier()  # every share is there
        if world.leads:
            state = {"counters": dict(checkpoint.counters), "identity": identity}
            (partial / "state.json").write_text(json.dumps(state, indent=1), encoding="utf-8")
            seal(partial)
    if world.leads:
        for old in _all(folder)[:-KEPT]:
            shutil.rmtree(old)
    world.barrier()  # it is published


def load_newest(folder: Path, identity: Mapping[str, Any]) -> tuple[Checkpoint | None, list[str]]:
    """The newest checkpoint that is intact (None before the first), and what is wrong with newer ones.

    Raises:
        ValueError: there are checkpoints, and none is intact, or they belong to a run with other settings.
    """
    damage: list[str] = []
    for path in reversed(_all(folder)):
        if wrong := fault(path):
            damage.append(wrong)
            continue
        _require_same(path, state(path)["identity"], identity)
        return load(path), damage
    if damage:
        raise ValueError(f"no checkpoint in {folder} is intact ({'; '.join(damage)}): delete them to start again")
    return None, damage


def load(path: Path) -> Checkpoint:
    """An intact checkpoint."""
    shares = [load_file(share) for share in sorted(path.glob("*.safetensors"))]
    return Checkpoint(dict(ChainMap(*shares)), state(path)["counters"])


def state(path: Path) -> dict[str, Any]:
    """Counters of a checkpoint, and the identity of its run."""
    return json.loads((path / "state.json").read_text(encoding="utf-8"))


class Publication:
    """A folder that appears whole: written under another name, flushed to disk, then renamed."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self.partial = target.with_name(f".{target.name}.partial")

    def __enter__(self) -> Path:
        shutil.rmtree(self.partial, ignore_errors=True)
        self.partial.mkdir(parents=True)
        return self.partial

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        if error:
            return
        for path in (*self.partial.rglob("*"), self.partial):
            _flush(path)
        shutil.rmtree(self.target, ignore_errors=True)
        self.partial.rename(self.target)
        _flush(self.target.parent)


def _all(folder: Path) -> list[Path]:
    return sorted(folder.glob("step-*"))


def _require_same(path: Path, saved: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    old, new = flatten(saved), flatten(json.loads(json.dumps(wanted)))
    differ = sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))
    if differ:
        changes = "; ".join(f"{key}: {old.get(key)} there, {new.get(key)} now" for key in differ)
        raise ValueError(f"{path} belongs to a run with other settings ({changes}): restore them or use a new folder")


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, with dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
