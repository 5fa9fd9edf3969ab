"""The scorers of VBVR-Bench as the user has installed them, each task in a process of its own.

Nothing of them is imported: they evaluate strings of their own, end on what they do not know, and change their scores between
commits. Whatever they do is a score in [0, 1] or a reason. The same clips score .12 and .52 by the two entry points, so that
a score is known by commit, source and entry point.
"""

import hashlib
import json
import math
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, NamedTuple

from wmsd_core.bench.suites.vbvr.layout import Sample, tasks

Entry = Literal["task", "five"]
"""What is scored: the part that belongs to the task alone, or the weighted mean of five parts, among them likeness to the first
and the last frame."""
_TOLD = 300
"""Characters of what a kit said that are passed on."""


class Scored(NamedTuple):
    """What a kit made of one video."""

    score: float | None
    """In [0, 1]; None where there is none."""
    reason: str = ""
    """Why there is none."""


@dataclass(frozen=True)
class Kit:
    """An installation: a checkout of Video-Reason/VBVR-EvalKit and the Python that has what it needs."""

    folder: Path
    python: str = sys.executable
    entry: Entry = "task"
    device: str = "cpu"
    seconds: float = 600.0
    """Time that a task's videos may take."""

    @property
    def script(self) -> str:
        """The entry point, below the folder.

        Raises:
            ValueError: the folder is no such checkout.
        """
        ways = {"task": "run_evaluation.py", "five": "evaluate.py"}
        for name in (ways[self.entry], "examples/score_videos.py"):
            if (self.folder / name).is_file():
                return name
        raise ValueError(
            f"{self.folder} has neither {ways[self.entry]} nor examples/score_videos.py: give a checkout of "
            "github.com/Video-Reason/VBVR-EvalKit"
        )

    @property
    def old(self) -> bool:
        """Whether it is the kit before March 2026, with the layout and the six categories of that time."""
        return self.script.startswith("examples/")

    def describe(self) -> dict[str, str]:
        """What a score is known by: commit, SHA-256 of the Python sources, entry point, category scheme.

        Raises:
            ValueError: the folder is no such checkout.
        """
        return {
            "commit": self._commit(),
            "source": self._source(),
            "entry point": self.script + (" --full-score" if self.old and self.entry == "five" else ""),
            "scored": {"task": "the task's own part", "five": "five parts, weighted"}[self.entry],
            "scheme": "old, six categories" if self.old else "new, five categories",
        }

    def _commit(self) -> str:
        def git(*arguments: str) -> str | None:
            if not (self.folder / ".git").exists() or not shutil.which("git"):
                return None
            done = subprocess.run(["git", "-C", self.folder, *arguments], capture_output=True, text=True, timeout=60)
            return done.stdout.strip() if done.returncode == 0 else None

        commit = git("rev-parse", "HEAD")
        if not commit:
            return "not known: no git checkout"
        return commit + (", changed since" if git("status", "--porcelain", "--untracked-files=no") else "")

    def _source(self) -> str:
        total = hashlib.sha256()
        for path in sorted(self.folder.rglob("*.py")):
            total.update(f"{path.relative_to(self.folder)}\0".encode())
            total.update(hashlib.sha256(path.read_bytes()).digest())
        return total.hexdigest()

    def score(self, videos: Mapping[Sample, Path]) -> dict[Sample, Scored]:
        """Scores videos of one task. Never raises for what the kit does: that is a reason."""
        with TemporaryDirectory(prefix="wmsd-vbvr-") as scratch:
            place = Path(scratch)
            arguments, results = self._old_run(place, videos) if self.old else self._new_run(place, videos)
            ended = self._run([self.python, str(self.folder.absolute() / self.script), *arguments], place)
            found = {sample: _read(results, sample) for sample in videos}
        return {
            sample: Scored(None, f"{score.reason}; {ended}") if score.score is None and ended else score
            for sample, score in found.items()
        }

    def _new_run(self, place: Path, videos: Mapping[Sample, Path]) -> tuple[list[str], Callable[[Sample], Any]]:
        """Lays truth and videos out as the new kit wants them; its arguments, and how its results are found."""
        for sample, video in videos.items():
            split = tasks()[sample.task].split
            _link(sample.folder, place / "truth" / split / sample.task / f"{sample.number:05d}")
            _link(video, place / "model" / split / sample.task / f"{sample.number:05d}.mp4")
        model, truth, out = (str(place / name) for name in ("model", "truth", "out"))
        if self.entry == "task":
            arguments = ["--model_path", model, "--gt_base", truth, "--output_dir", out]
            file, rows, key = place / "out" / "model_vbvr_results.json", "samples", "video_file"
        else:
            arguments = ["--videos_path", model, "--gt_path", truth, "--output_path", out, "--name", "model"]
            file, rows, key = place / "out" / "model_eval_results.json", "detailed", "video_idx"

        def result(sample: Sample) -> Any:
            return next(
                row
                for row in json.loads(file.read_text(encoding="utf-8"))[rows]
                if row["task_name"] == sample.task and str(row[key]).removesuffix(".mp4") == f"{sample.number:05d}"
            )

        return [*arguments, "--device", self.device], result

    def _old_run(self, place: Path, videos: Mapping[Sample, Path]) -> tuple[list[str], Callable[[Sample], Any]]:
        for sample, video in videos.items():
            run = place / "in" / "model" / sample.task / "task" / f"task_{sample.number:08d}" / "run"
            _link(sample.folder, run / "question")
            _link(video, run / "video" / "output.mp4")

        def result(sample: Sample) -> Any:
            folder = place / "out" / "model" / sample.task / "task" / f"task_{sample.number:08d}"
            return json.loads((folder / "VBVRBenchEvaluator.json").read_text(encoding="utf-8"))["result"]

        arguments = [
            "--inference-dir",
            str(place / "in"),
            "--eval-output-dir",
            str(place / "out"),
            "--device",
            self.device,
        ]
        return [*arguments, *(["--full-score"] if self.entry == "five" else [])], result

    def _run(self, arguments: list[str], place: Path) -> str:
        """Runs the kit to its end, or ends it, with all that it started; why it did not end well, or ''."""
        said = place / "said"
        try:
            with said.open("wb") as out:
                process = subprocess.Popen(
                    arguments, cwd=place, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
                )
        except OSError as error:
            return f"the kit could not be started: {error}"
        try:
            status = process.wait(self.seconds)
        except subprocess.TimeoutExpired:
            return f"the kit took longer than {self.seconds:g} s"
        finally:  # also on Ctrl-C, and what it has left running
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        return f"the kit ended with status {status}: {_last_words(said)}" if status else ""


def _read(result: Callable[[Sample], Any], sample: Sample) -> Scored:
    """The score in a kit's own file, which may be anything."""
    try:
        row = result(sample)
        error, score = row.get("error"), row.get("score")
    except FileNotFoundError:
        return Scored(None, "the kit wrote no result")
    except StopIteration:
        return Scored(None, "the kit's result does not name it")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OSError) as found:
        return Scored(None, f"the kit's result cannot be read: {type(found).__name__}: {str(found)[:_TOLD]}")
    if error:
        return Scored(None, f"the kit failed on it: {' '.join(str(error).split())[:_TOLD]}")
    if isinstance(score, bool) or not isinstance(score, int | float) or not math.isfinite(score) or not 0 <= score <= 1:
        return Scored(None, f"the kit's score is no number in [0, 1]: {str(score)[:40]}")
    return Scored(float(score))


def _last_words(said: Path) -> str:
    with said.open("rb") as file:
        file.seek(max(0, said.stat().st_size - 4096))
        lines = file.read().decode("utf-8", "replace").split("\n")
    return next((" ".join(line.split())[:_TOLD] for line in reversed(lines) if line.strip()), "it said nothing")


def _link(target: Path, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(target.absolute())
