"""Pretrained pipelines in the layout of diffusers: found in a folder or on the hub, and identified by their content."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

from wmsd_core.files import replacing, sha256


def find(weights: str, parts: Sequence[str], setting: str) -> Path:
    """The folder of a pipeline with the given parts (subfolders). One on the hub is downloaded, those parts only.

    Raises:
        ValueError: there is none, it cannot be had (offline, gated, mistyped), or it lacks parts. `setting` is named as
            what to change.
    """
    folder = Path(weights).expanduser()
    if not folder.is_dir():
        folder = _download(weights, parts, setting)
    if missing := [part for part in parts if not (folder / part).is_dir()]:
        raise ValueError(
            f"{setting}: {folder} is not the folder of such a pipeline: it has no {', '.join(missing)}. It must be in "
            "the layout of diffusers, one subfolder per part"
        )
    return folder


def _download(weights: str, parts: Sequence[str], setting: str) -> Path:
    try:
        return Path(snapshot_download(weights, allow_patterns=["model_index.json", *(f"{part}/*" for part in parts)]))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, httpx.HTTPError, OSError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ValueError(
            f"{setting}: there is no folder '{weights}', and the Hugging Face hub gives none of that name ({reason}). "
            "Name a folder that holds the pipeline, or its id on the hub; a gated one needs HF_TOKEN, and offline only "
            "what was downloaded before can be used"
        ) from error


def read_config(folder: Path, part: str) -> dict[str, Any]:
    """`config.json` of a part, or of a scheduler its own file.

    Raises:
        ValueError: it is missing or not JSON.
    """
    name = "scheduler_config.json" if part == "scheduler" else "config.json"
    path = folder / part / name
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from error


def checksum(folder: Path, parts: Sequence[str], memory: Path | None = None) -> str:
    """SHA-256 over every weight file and configuration of the given parts.

    Hashing tens of gigabytes takes a minute. `memory` is a JSON file that remembers sums by path, size and time of change.
    """
    files = sorted(
        path
        for part in parts
        for path in (folder / part).rglob("*")
        if path.suffix in (".safetensors", ".json", ".txt")
    )
    known: dict[str, str] = {}
    if memory is not None and memory.is_file():
        known = json.loads(memory.read_text(encoding="utf-8"))
    sums: dict[str, str] = {}
    for path in files:
        state = path.stat()
        key = f"{path.resolve()} {state.st_size} {state.st_mtime_ns}"
        if key not in known:
            known[key] = sha256(path)
        sums[path.relative_to(folder).as_posix()] = known[key]
    if memory is not None:
        with replacing(memory) as partial:
            partial.write_text(json.dumps(known, indent=1), encoding="utf-8")
    return hashlib.sha256(json.dumps(sums, sort_keys=True).encode()).hexdigest()
