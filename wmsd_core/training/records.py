"""What the store knows of training runs: `training_runs` and `training_steps`, filled from a run's folder.

The training process never opens the store: it would hold up every reader, or be held up by them. It writes its folder,
and whoever watches it copies the rows.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wmsd_core import store
from wmsd_core.config import digest
from wmsd_core.files import replacing
from wmsd_core.store import overview
from wmsd_core.training.deliveries import intact, published, step_of
from wmsd_core.training.examples import Example
from wmsd_core.training.lineage import origin
from wmsd_core.training.metrics import flat, last_step
from wmsd_core.training.run import Run

METRICS = "metrics.jsonl"


@dataclass(frozen=True)
class RunFolder:
    """One training run up to a step: its identity and its files."""

    run_id: str
    """SHA-256 of settings, base weights and examples, all by content: the same run is found again, and resumed."""
    path: Path
    steps: int

    @property
    def adapter(self) -> Path:
        """The folder of the finished adapter."""
        return published(self.path, self.steps)

    def adapter_at(self, step: int | None) -> Path:
        """The folder of the averaged weights of a step that the run has kept; None: the finished adapter.

        Raises:
            ValueError: they are not there, or damaged.
        """
        if step in (None, self.steps):
            return self.adapter
        place = published(self.path, step)
        if step_of(place) != step or not intact(place):
            found = sorted(filter(None, map(step_of, self.path.glob("adapter*"))))
            raise ValueError(
                f"evaluate.at_step: the run {self.run_id} has kept no whole adapter of step {step}; it has those of "
                f"{', '.join(map(str, found)) or 'no step'}. Train it with train.keep_every, and with --refresh if it is past"
            )
        return place

    @property
    def checksum(self) -> str:
        """SHA-256 of the finished adapter; '' where the run is not finished, or its files are damaged."""
        return intact(self.adapter)


def run_folder(root: Path, run: Run, base: str, examples: Sequence[Example]) -> RunFolder:
    """The folder, below `root`, of the run with these settings, base weights (their checksum) and examples.

    Raises:
        ValueError: the checkpoint that it is to start from is not there, or damaged.
    """
    parts = [run.digest(), run.config.digest(), base, dataset(examples)]
    if begun := origin(run.config.start, root):
        parts.append(begun.sha256)
    run_id = digest(parts)
    return RunFolder(run_id, root / run_id, run.config.steps)


def dataset(examples: Sequence[Example]) -> str:
    """Digest of a set of examples: identities, texts and pictures by content."""
    return digest([example.content() for example in examples])


def prepare(path: Path, folder: RunFolder, run: Run, base: str, examples: Sequence[Example]) -> None:
    """Writes `run.json` and `examples.jsonl`, and the run's row into the store at `path`."""
    folder.path.mkdir(parents=True, exist_ok=True)
    lines = "".join(example.model_dump_json() + "\n" for example in examples)
    for name, text in (("run.json", run.model_dump_json(indent=2)), ("examples.jsonl", lines)):
        with replacing(folder.path / name) as partial:
            partial.write_text(text, encoding="utf-8")
    row = {
        "run_id": folder.run_id,
        "config": run.config.model_dump_json(),
        "config_hash": run.config.digest(),
        "base": base,
        "dataset": dataset(examples),
        "folder": str(folder.path),
        "status": "finished" if folder.checksum else "running",
        "adapter": folder.checksum,
    }
    with store.writing(path) as con:
        store.insert(con, "training_runs", [row], replace=True)


def record(path: Path, folder: RunFolder) -> None:
    """Brings the store at `path` up to date with the run's metrics, and with its adapter if it is finished."""
    rows = [
        {"run_id": folder.run_id, "step": step["step"], "metric": name, "value": value}
        for step in _steps(folder.path / METRICS)
        for name, value in flat(step)
    ]
    with store.writing(path) as con:
        con.execute("DELETE FROM training_steps WHERE run_id = ?", [folder.run_id])
        store.insert(con, "training_steps", rows)
        if folder.checksum:
            con.execute(
                "UPDATE training_runs SET status = 'finished', adapter = ? WHERE run_id = ?",
                [folder.checksum, folder.run_id],
            )


def listed(path: Path) -> list[dict[str, Any]]:
    """Every training run of the store at `path`, with the step that its folder tells: the store follows by some seconds."""
    with store.reading(path) as con:
        runs = overview.runs(con)
    return [run | {"step": last_step(Path(run["folder"]) / METRICS) or run["step"]} for run in runs]


def _steps(path: Path) -> Iterator[dict[str, Any]]:
    if not path.is_file():
        return
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
        if line.endswith("\n"):  # the last line may be half written: the next call reads it whole
            yield json.loads(line)
