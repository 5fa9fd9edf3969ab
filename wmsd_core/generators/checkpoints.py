"""Pretrained pipelines in the layout of diffusers: found in a folder or on the hub, and identified by their content."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import httpx2 as httpx  # the one that the hub's client is built on
from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

from wmsd_core.files import replacing, sha256

HUB_TIMEOUT = 5.0
"""Seconds to wait for the hub's answer whether it has a model."""


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


class Reached(NamedTuple):
    """Weights that can be had."""

    place: str
    bytes: int
    """Of their files."""
    here: bool
    """On this machine. False: on the hub, to be downloaded when they are first needed."""


def reach(weights: str, parts: Sequence[str], setting: str) -> Reached:
    """Looks whether a model can be had, without downloading it. No `parts`: the whole repository is meant.

    Raises:
        ValueError: it cannot; `setting` is named as what to change.
    """
    try:
        folder = Path(weights).expanduser()
        if not folder.is_dir():
            patterns = [f"{part}/*" for part in parts] or None
            folder = Path(snapshot_download(weights, allow_patterns=patterns, local_files_only=True))
    except (HFValidationError, LocalEntryNotFoundError, OSError):
        return _on_hub(weights, parts, setting)
    found = find(str(folder), parts, setting)
    places = [found / part for part in parts] or [found]
    sizes = [path.stat().st_size for place in places for path in place.rglob("*") if path.is_file()]
    return Reached(str(found), sum(sizes), here=True)


def _on_hub(weights: str, parts: Sequence[str], setting: str) -> Reached:
    try:
        files = HfApi().model_info(weights, files_metadata=True, timeout=HUB_TIMEOUT).siblings or []
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, httpx.HTTPError, OSError) as error:
        raise _absent(weights, setting, error) from error
    wanted = [file for file in files if not parts or file.rfilename.partition("/")[0] in parts]
    return Reached(f"{weights} on the hub", sum(file.size or 0 for file in wanted), here=False)


def _absent(weights: str, setting: str, error: Exception) -> ValueError:
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return ValueError(
        f"{setting}: there is no folder '{weights}', and the Hugging Face hub gives none of that name ({reason}). "
        "Name a folder that holds the pipeline, or its id on the hub; a gated one needs HF_TOKEN, and offline only "
        "what was downloaded before can be used"
    )


def _download(weights: str, parts: Sequence[str], setting: str) -> Path:
    try:
        return Path(snapshot_download(weights, allow_patterns=["model_index.json", *(f"{part}/*" for part in parts)]))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, httpx.HTTPError, OSError) as error:
        raise _absent(weights, setting, error) from error


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
