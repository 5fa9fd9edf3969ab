"""Models against VBVR-Bench: each model's videos, and the first frame held still, scored by the user's kit.

The still row comes always: by the published scorers a video in which nothing happens is far from 0 (.71 by five parts, .37 by
the task's own, as reported to them), and a score says little before it is compared with that.

    OUT/scores.jsonl    a line for each scored video, appended task by task: a second run scores what is missing
"""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import av
import numpy as np
from PIL import Image

from wmsd_core.bench.submission import Submission, checked
from wmsd_core.bench.suites.vbvr import layout
from wmsd_core.bench.suites.vbvr.kit import Kit, Scored
from wmsd_core.bench.suites.vbvr.layout import Sample
from wmsd_core.config import digest
from wmsd_core.files import sha256
from wmsd_core.frames.videos import whole

STILL = "first frame, held"
"""The row that comes always."""
FRAMES, RATE = 33, 16
"""Of a still video whose sample has no ground truth that could be read."""


@dataclass(frozen=True)
class Model:
    """A model with what the kit made of its videos."""

    name: str
    submission: Submission
    scores: Mapping[str, Scored]
    """Sample -> score or reason, for every sample of the truth."""
    known: int
    """Videos scored by an earlier run."""


def score(truth: Path, videos: Mapping[str, Path], kit: Kit, out: Path) -> tuple[list[Sample], list[Model]]:
    """Scores every model and the still row.

    Args:
        truth: pictures and prompts, in either layout.
        videos: model -> folder, in either layout; one with checkpoint-N below is as many models.
        out: folder that keeps the scores.

    Raises:
        ValueError: a folder is missing or of another version, or there is no kit.
    """
    known, remarks = layout.samples(truth)
    submissions = {
        name + (f"/{checkpoint}" if checkpoint else ""): layout.read(folder, known)
        for name, top in videos.items()
        for checkpoint, folder in layout.models(top).items()
    }
    if STILL in submissions:
        raise ValueError(f"'{STILL}' is the name of the row that comes always; give the model another one")
    book = _Book(out / "scores.jsonl", kit)
    models: list[Model] = []
    for name, found in submissions.items():
        looked = checked(found, {sample.name: _first(sample) for sample in known}, least_frames=1)
        about = Submission(looked.expected, looked.found, (*remarks, *looked.remarks), looked.shapes)
        models.append(_scored(name, known, about, kit, book))
    with TemporaryDirectory(prefix="wmsd-still-") as scratch:
        made = {sample.name: _still(sample, Path(scratch)) for sample in known if not sample.fault}
        models.append(_scored(STILL, known, Submission(tuple(s.name for s in known), made, ()), kit, book))
    return known, models


def _scored(name: str, known: Sequence[Sample], found: Submission, kit: Kit, book: "_Book") -> Model:
    invalid = {remark.subject: remark.detail for remark in found.remarks if remark.kind == "invalid"}
    scores: dict[str, Scored] = {}
    waiting: defaultdict[str, dict[Sample, Path]] = defaultdict(dict)
    for sample in known:
        if sample.fault:
            scores[sample.name] = Scored(None, sample.fault)
        elif sample.name not in found.found:
            scores[sample.name] = Scored(None, "there is no video of it")
        elif sample.name in invalid:
            scores[sample.name] = Scored(None, invalid[sample.name])
        elif before := book.look(sample, found.found[sample.name]):
            scores[sample.name] = before
        else:
            waiting[sample.task][sample] = found.found[sample.name]
    before = sum(score.score is not None for score in scores.values())
    for videos in waiting.values():
        got = kit.score(videos)
        book.keep(name, videos, got)
        scores |= {sample.name: score for sample, score in got.items()}
    return Model(name, found, {sample.name: scores[sample.name] for sample in known}, before)


class _Book:
    """The scores that are kept. A line is known by kit, truth and the video's content."""

    def __init__(self, path: Path, kit: Kit) -> None:
        self._path = path
        self._by = digest(kit.describe())
        self._known = {line["key"]: Scored(line["score"]) for line in _lines(path)}

    def look(self, sample: Sample, video: Path) -> Scored | None:
        return self._known.get(self._key(sample, video))

    def keep(self, model: str, videos: Mapping[Sample, Path], scores: Mapping[Sample, Scored]) -> None:
        """Adds what was scored; what could not be is tried again by the next run."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", encoding="utf-8") as file:
            for sample, found in scores.items():
                if found.score is not None:
                    line = {"key": self._key(sample, videos[sample]), "model": model, "sample": sample.name}
                    file.write("\n" + json.dumps(line | {"score": found.score}))

    def _key(self, sample: Sample, video: Path) -> str:
        truth = [sha256(path) for path in sorted(sample.folder.iterdir()) if path.is_file()]
        return digest([self._by, sample.name, truth, sha256(video)])


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """Whole lines; a kill may have left half of one."""
    if not path.is_file():
        return
    for text in path.read_text(encoding="utf-8").split("\n"):
        try:
            line = json.loads(text)
        except ValueError:
            continue
        if isinstance(line, dict) and {"key", "score"} <= line.keys():
            yield line


def _first(sample: Sample) -> Any:
    """The first frame, uint8 [H, W, 3]; None where it cannot be read."""
    try:
        with Image.open(sample.folder / "first_frame.png") as image:
            return np.asarray(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError):
        return None


def _still(sample: Sample, folder: Path) -> Path:
    """A video in which nothing happens, as long and as fast as the ground truth. Lossless, so that only stillness is scored."""
    picture = _first(sample)
    frames, rate = FRAMES, Fraction(RATE)
    if (sample.folder / "ground_truth.mp4").is_file():
        try:
            video, fps = whole(sample.folder / "ground_truth.mp4")
            frames, rate = len(video), Fraction(fps).limit_denominator(1000)
        except Exception:  # whatever is wrong with it, the still video is of the usual length
            frames, rate = FRAMES, Fraction(RATE)
    path = folder / f"{digest(sample.name)}.mp4"
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264rgb", rate=rate, options={"qp": "0"})
        stream.width, stream.height, stream.pix_fmt = picture.shape[1], picture.shape[0], "rgb24"
        for _ in range(frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path
