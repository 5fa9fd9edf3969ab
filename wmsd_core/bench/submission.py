"""Videos that somebody else's model made, found by their names: which items they are of, and what is wrong with the rest.

A benchmark's reader matches names to items (`suites/`); `checked` then opens each file. Nothing is dropped without a remark,
and what could not be matched beyond doubt is refused: a shifted list would score every video for its neighbour's task.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from wmsd_core.arrays import Image
from wmsd_core.frames.refusal import failed
from wmsd_core.frames.videos import beginning, whole

RemarkKind = Literal["missing", "extra", "refused", "invalid", "reported", "caution", "ignored"]
"""missing: no file for an item. extra: a file for no item. refused: a file that may be of another item. invalid: an item's
file that is no video. reported, caution: it counts, with a peculiarity. ignored: no video, or none that was asked for."""
ALIKE = 20.0
"""Decibels between first frame and given picture; below, a video is of another item or was made from text alone."""
LEAST_FRAMES = 2
"""Fewer make no video."""
LEFTOVERS = {"__MACOSX", ".ipynb_checkpoints"}
"""Folders that archives and editors leave behind."""
NO_VIDEO = "not a video"
"""What is said of an ignored file of another kind."""
VIDEOS = {".mp4", ".mov", ".avi", ".mkv", ".webm", ".gif", ".m4v"}


@dataclass(frozen=True)
class Remark:
    """What is to be said about an item or a file."""

    kind: RemarkKind
    subject: str
    """The item, or the file's path below the folder."""
    detail: str


@dataclass(frozen=True)
class Submission:
    """Videos by item, in the order of the items."""

    expected: tuple[str, ...]
    found: Mapping[str, Path]
    remarks: tuple[Remark, ...]
    shapes: Mapping[str, tuple[int, int, int, float]] = field(default_factory=dict[str, tuple[int, int, int, float]])
    """Item -> frames, height, width, frames per second; filled by `checked`."""

    def subjects(self, kind: RemarkKind) -> list[str]:
        """Items and files with a remark of this kind."""
        return [remark.subject for remark in self.remarks if remark.kind == kind]

    @property
    def scored(self) -> dict[str, Path]:
        """What can be scored: found, and not invalid."""
        invalid = set(self.subjects("invalid"))
        return {item: path for item, path in self.found.items() if item not in invalid}

    def renamed(self, names: Mapping[str, str]) -> "Submission":
        """The same with other names of items; remarks keep the ones that people know."""
        expected = tuple(names[item] for item in self.expected)
        return replace(self, expected=expected, found={names[item]: path for item, path in self.found.items()})

    @property
    def summary(self) -> dict[str, object]:
        """Counts, and each remark but those on ignored files, which are counted."""
        return {
            "expected": len(self.expected),
            "found": len(self.found),
            "scored": len(self.scored),
            **dict(Counter(remark.kind for remark in self.remarks)),
            "remarks": [f"{r.kind}: {r.subject}: {r.detail}" for r in self.remarks if r.kind != "ignored"],
        }


def matched(expected: Sequence[str], files: Mapping[str, Sequence[Path]], remarks: Sequence[Remark]) -> Submission:
    """A submission of the files that each item has: several are refused, and none makes it missing."""
    several = [
        Remark("refused", item, f"{len(given)} files: {', '.join(path.name for path in given)}")
        for item, given in files.items()
        if len(given) > 1
    ]
    missing = [Remark("missing", item, "there is no video of it") for item in expected if not files.get(item)]
    found = {item: files[item][0] for item in expected if len(files.get(item, ())) == 1}
    return Submission(tuple(expected), found, (*remarks, *several, *missing))


def walk(folder: Path, remarks: list[Remark]) -> Iterator[Path]:
    """The files below `folder` that may be videos, in order; what archives and editors left behind is remarked on.

    Raises:
        ValueError: there is no such folder.
    """
    if not folder.is_dir():
        raise ValueError(f"there is no folder of videos at {folder}")
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if not path.is_file():
            continue
        if LEFTOVERS.intersection(parts) or any(part.startswith(".") for part in parts):
            remarks.append(Remark("ignored", "/".join(parts), "left behind by an archive or an editor"))
        elif path.suffix.lower() not in VIDEOS:
            remarks.append(Remark("ignored", "/".join(parts), NO_VIDEO))
        else:
            yield path


def checked(
    submission: Submission,
    pictures: Mapping[str, Image | None],
    *,
    known: Mapping[str, int] | None = None,
    least_frames: int = LEAST_FRAMES,
) -> Submission:
    """The submission after each file was decoded: what is no video is invalid, with the reason; the rest has its shape.

    Args:
        pictures: the picture that each item starts from, uint8 [H, W, 3]; None where it cannot be compared.
        known: item -> frames, of those that an earlier call has decoded: of these the first frame is enough to say the same.
        least_frames: fewer make no video.
    """
    remarks, shapes, counted = list(submission.remarks), dict(submission.shapes), known or {}
    for item, path in submission.found.items():
        try:
            video, rate = (beginning(path, frames=1, fps=1.0), None) if item in counted else whole(path)
        except Exception as error:
            remarks.append(Remark("invalid", item, str(failed(error))))
            continue
        if rate is not None:
            shapes[item] = (*video.shape[:3], rate)
        frames, picture = counted.get(item, len(video)), pictures.get(item)
        if frames < least_frames:
            remarks.append(Remark("invalid", item, too_short(frames)))
        elif picture is not None and (likeness := psnr(video[0], picture)) < ALIKE:
            remarks.append(
                Remark(
                    "caution",
                    item,
                    f"its first frame is not the picture ({likeness:.1f} dB): another item, or text alone",
                )
            )
    return replace(submission, remarks=tuple(remarks), shapes=shapes)


def too_short(frames: int) -> str:
    """Why so few frames are no video."""
    return f"{frames} frame is no video"


def psnr(frame: Image, picture: Image) -> float:
    """10 log10(255^2 / mean squared difference), in decibels, after the larger one was averaged to the smaller one's size."""
    height, width = min(frame.shape[0], picture.shape[0]), min(frame.shape[1], picture.shape[1])
    one, other = (
        cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA).astype(np.float64)
        for image in (frame, picture)
    )
    error = float(np.square(one - other).mean())
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)
