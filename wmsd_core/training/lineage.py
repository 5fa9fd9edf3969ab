"""From which checkpoint of another run a run went on: a deliberate change, recorded, and part of what the run is.

RUN/lineage.json   the checkpoint's place, step and SHA-256
RUN/start/         its files, linked: the other run may go on and drop it
"""

import os
import shutil
from pathlib import Path

from pydantic import ValidationError

from wmsd_core.config import Config
from wmsd_core.files import sha256
from wmsd_core.training.sealing import MANIFEST, fault

RECORD, FILES = "lineage.json", "start"


class Lineage(Config):
    """A run's origin."""

    checkpoint: Path
    """Where it lay."""
    sha256: str
    """Of its manifest, which names the SHA-256 of each of its files: what the run began with, wherever it lies now."""
    step: int
    """Its step; the first of the run is the next one."""


def origin(start: Path | None, runs: Path) -> Lineage | None:
    """What a run that starts at the checkpoint `start` goes on from. One that is gone is known by the runs that began there.

    Raises:
        ValueError: there is no such checkpoint, or it is damaged.
    """
    if start is None:
        return None
    from wmsd_core.training.checkpoint import state  # reads torch, and few runs begin at another

    place = start.absolute()
    if not place.is_dir():
        for record in sorted(runs.glob(f"*/{RECORD}")):
            if (known := _read(record)) and known.checkpoint == place:
                return known
        raise ValueError(f"train.start: there is no checkpoint {start}; give a folder RUN/checkpoints/step-...")
    if wrong := fault(place):
        raise ValueError(f"train.start: {wrong}; choose another checkpoint")
    return Lineage(checkpoint=place, sha256=sha256(place / MANIFEST), step=state(place)["counters"]["step"])


def begin(folder: Path, start: Path | None) -> Lineage | None:
    """The origin of the run in `folder`; its files are linked into the run, and recorded, when it is first asked for.

    Raises:
        ValueError: as `origin`.
    """
    if start is None:
        return None
    from wmsd_core.training.checkpoint import Publication  # as above

    record = folder / RECORD
    if (known := _read(record)) and not fault(folder / FILES):
        if (start / MANIFEST).is_file() and sha256(start / MANIFEST) != known.sha256:
            raise ValueError(f"{folder} began at {known.checkpoint}, which is another checkpoint than {start}")
        return known
    found = origin(start, folder.parent)
    assert found
    if found.checkpoint.is_dir():
        with Publication(folder / FILES) as partial:
            for file in found.checkpoint.iterdir():
                _link(file, partial / file.name)
        record.write_text(found.model_dump_json(indent=1) + "\n", encoding="utf-8")
        return found
    raise ValueError(f"train.start: {start} is gone, and its copy in {folder / FILES} is damaged: choose another one")


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another disk, or one without links
        shutil.copyfile(source, target)


def _read(record: Path) -> Lineage | None:
    try:
        return Lineage.model_validate_json(record.read_text(encoding="utf-8"))
    except (OSError, ValidationError):
        return None
