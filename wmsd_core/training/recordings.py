"""Recorded videos become examples for supervised fine-tuning: a vision-language model names the task that each one shows.

    OUT/examples.jsonl     one example per usable video, with its first frame and its clip
    OUT/rejections.jsonl   one line per video that is none: {"video", "reason", "detail"}
    OUT/sources.jsonl      the videos that have an example
    OUT/clips/, OUT/images/

A rerun asks only about videos that have neither an example nor a rejection; what was not answered is asked again.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Pictures
from pydantic import BaseModel, Field

from wmsd_core.arrays import Image, Video
from wmsd_core.config import Config
from wmsd_core.files import replacing
from wmsd_core.frames import clips
from wmsd_core.frames.formats import VIDEOS
from wmsd_core.frames.refusal import Refusal, failed
from wmsd_core.frames.videos import beginning
from wmsd_core.instruction import parse
from wmsd_core.seeds import derive
from wmsd_core.training.examples import Example
from wmsd_core.vlm import VisionLanguageModel, prompts
from wmsd_core.vlm.stream import as_they_come, gathered

PROMPT = "label"
CLIP = ".png"
"""Suffix of the project's own videos: animated PNG, which has no rate of its own."""


class RecordingConfig(Config):
    """What is taken of a recorded video, and how much of it is shown."""

    frames: int = Field(default=121, gt=1)
    """Frames of a clip, as many as the generator draws. Shorter videos are left out."""
    fps: float = Field(default=24.0, gt=0)
    """Frames per second of a clip."""
    shown: int = Field(default=8, gt=1)
    """Frames that the model is shown, evenly spaced, the first and the last among them."""
    seed: int = 0
    """Seed of the answers."""


class Label(BaseModel):
    """The answer that is asked for."""

    refused: bool
    """No task is completed in the video."""
    reason: str = ""
    """Why not."""
    task: str = ""
    """"[Agent]: instruction"."""


@dataclass(frozen=True)
class Recorded:
    """What a run of `label_recordings` did."""

    labelled: int
    before: int
    """Videos that were done before."""
    rejected: dict[str, int]
    """Videos that are no example, by reason."""


@dataclass(frozen=True)
class _Found:
    clip: Video
    task: str


def label_recordings(
    folder: Path, out: Path, vlm: VisionLanguageModel, config: RecordingConfig, *, concurrency: int = 1
) -> Recorded:
    """Names a task for every video below `folder`, and writes the examples into `out`.

    Raises:
        ValueError: there is no video below `folder`.
    """
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in VIDEOS | {CLIP})
    if not paths:
        raise ValueError(f"there is no video below {folder}: looked for {', '.join(sorted(VIDEOS))} and animated PNG")
    (out / "images").mkdir(parents=True, exist_ok=True)
    examples, sources, rejections = (out / f"{name}.jsonl" for name in ("examples", "sources", "rejections"))
    kept = [row for row in _rows(rejections) if row["reason"] != "unanswered"]
    named = _rows(sources)
    # A kill leaves half a line, or an example without its source, which is the last one and is made again.
    for path, rows in ((rejections, kept), (sources, named), (examples, _rows(examples)[: len(named)])):
        _write(path, rows)
    done = {row["source"] for row in named} | {row["video"] for row in kept}
    todo = [path for path in paths if str(path) not in done]
    counts: dict[str, int] = {}
    labelled = 0
    for answers in gathered(as_they_come(partial(_ask, vlm=vlm, config=config), todo, concurrency)):
        for path, answer in answers:
            if isinstance(answer, _Found):
                _append(examples, _example(answer, out).model_dump(mode="json"))
                _append(sources, {"source": str(path)})
                labelled += 1
            else:
                counts[answer.reason] = counts.get(answer.reason, 0) + 1
                _append(rejections, {"video": str(path), "reason": answer.reason, "detail": answer.detail})
    return Recorded(labelled, len(paths) - len(todo), counts)


def _ask(path: Path, vlm: VisionLanguageModel, config: RecordingConfig) -> _Found | Refusal:
    """The clip and its task, or why there is none."""
    try:
        clip = (
            _own_clip(path, config.frames)
            if path.suffix == CLIP
            else beginning(path, frames=config.frames, fps=config.fps)
        )
    except Exception as error:
        return failed(error)
    shown = [clip[k] for k in np.linspace(0, len(clip) - 1, min(config.shown, len(clip))).round().astype(int)]
    system, user = prompts.messages(PROMPT)
    identity = hashlib.sha256(clip.tobytes()).hexdigest()
    try:
        answer = vlm.complete(
            (system, replace(user, images=_pictures(shown))), Label, seed=derive(config.seed, PROMPT, identity)
        )
    except ValueError as error:
        return Refusal("unanswered", str(error))
    if answer.refused:
        return Refusal("refused", answer.reason or "no reason given")
    parsed = parse(answer.task)
    return (
        _Found(clip, parsed.task)
        if parsed
        else Refusal("bad_form", f"'{answer.task}' is not of the form [Agent]: task")
    )


def _own_clip(path: Path, frames: int) -> Video:
    try:
        clip = clips.read(path)
    except (OSError, KeyError, ValueError) as error:
        raise Refusal("not_a_video", f"no animated PNG of this project: {error}") from error
    if len(clip) < frames:
        raise Refusal("too_short", f"{len(clip)} frames, {frames} are needed")
    return clip[:frames]


def _pictures(frames: Sequence[Image]) -> tuple[Image, ...]:
    return tuple(np.ascontiguousarray(frame) for frame in frames)


def _example(found: _Found, out: Path) -> Example:
    clip, sha256 = clips.write(found.clip, out / "clips")
    image = out / "images" / f"{sha256}.png"
    Pictures.fromarray(found.clip[0]).save(image)
    pair_id = hashlib.sha256(f"{sha256}\n{found.task}".encode()).hexdigest()
    # Fine-tuning reads no solution.
    return Example(
        pair_id=pair_id, image=image.relative_to(out), task=found.task, solution="", video=clip.relative_to(out)
    )


def _rows(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")]


def _append(path: Path, row: dict[str, Any]) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row, ensure_ascii=False) + "\n")


def _write(path: Path, rows: list[dict[str, Any]]) -> None:
    with replacing(path) as new:
        new.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
