"""The adapters that a run has delivered, as folders: which step each is of, and whether it is whole. Reads neither torch nor
peft, which take seconds to load: whoever asks what is there needs no network.
"""

import json
import shutil
from pathlib import Path

from wmsd_core.training.sealing import fault

CHECKSUM = "adapter.sha256"
ABOUT = "training.json"


def published(folder: Path, step: int) -> Path:
    """Where a run's adapter of this step lies, or will: the last one in `adapter`, earlier ones beside it."""
    latest, aside = folder / "adapter", kept(folder, step)
    last = step_of(latest)
    return latest if last == step or (last is None and not aside.is_dir()) else aside


def kept(folder: Path, step: int) -> Path:
    """Where the averaged weights of a step lie that is not a run's last."""
    return folder / f"adapter-{step:08d}"


def intact(folder: Path) -> str:
    """SHA-256 of the adapter's weights in `folder`; '' where there is none, or any of its files is lost or damaged."""
    return "" if fault(folder) else (folder / CHECKSUM).read_text(encoding="utf-8").strip()


def make_way(folder: Path, step: int) -> None:
    """Puts the finished adapter of an earlier step beside the place where that of `step` will be published."""
    latest = folder / "adapter"
    before = step_of(latest)
    if before not in (step, None) and intact(latest):
        aside = kept(folder, before)
        shutil.rmtree(aside, ignore_errors=True)
        latest.rename(aside)


def step_of(folder: Path) -> int | None:
    """The step that an adapter was published at; None where it does not say."""
    try:
        return int(json.loads((folder / ABOUT).read_text(encoding="utf-8"))["step"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
