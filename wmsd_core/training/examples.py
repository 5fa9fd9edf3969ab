"""What is trained on: one line of `examples.jsonl` per pair of a short task and a detailed solution for one image."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image
from pydantic import ValidationError

from wmsd_core.arrays import Image as Picture
from wmsd_core.arrays import Videos
from wmsd_core.config import Config
from wmsd_core.files import sha256
from wmsd_core.frames import clips


class Example(Config):
    """o, c and d of the paper."""

    pair_id: str
    """Identity of the pair: seeds follow from it."""
    image: Path
    """Picture file; a relative path starts at the folder of examples.jsonl."""
    task: str
    """Short task: all that the Executor sees."""
    solution: str
    """Detailed solution: what the Demonstrator sees."""
    video: Path | None = None
    """A recording in which the task is done, where there is one: an animated PNG as `frames.clips` writes it."""
    sha256: str = ""
    """SHA-256 of the picture file, where it is known."""

    def content(self) -> list[str]:
        """What is trained on, whatever the files are called and wherever they lie."""
        video = sha256(self.video) if self.video else ""
        return [self.pair_id, self.task, self.solution, self.sha256 or sha256(self.image), video]


def load_examples(path: Path) -> list[Example]:
    """Reads `examples.jsonl`.

    Raises:
        ValueError: a line is not an example, or its image or video does not exist; the message names the line.
    """
    examples: list[Example] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            example = Example.model_validate_json(line)
        except ValidationError as error:
            raise ValueError(f"{path}, line {number}: {error}") from error
        image = path.parent / example.image
        if not image.is_file():
            raise ValueError(f"{path}, line {number}: there is no image {image}")
        video = path.parent / example.video if example.video else None
        if video and not video.is_file():
            raise ValueError(f"{path}, line {number}: there is no video {video}")
        examples.append(example.model_copy(update={"image": image, "video": video}))
    return examples


def check_images(examples: Sequence[Example]) -> None:
    """Reads every picture once, before the first of them is encoded.

    Raises:
        ValueError: some cannot be read; the message names the first few.
    """
    faults: list[str] = []
    for path in dict.fromkeys(example.image for example in examples):
        try:
            _pixels.__wrapped__(path)  # not kept: a picture of any size may be asked for only much later
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            faults.append(f"{path}: {error}")
    if faults:
        raise ValueError(f"{len(faults)} pictures cannot be read: {'; '.join(faults[:3])}")


def load_images(examples: Sequence[Example]) -> list[Picture]:
    """The pictures of a batch, each of its own size: a generator cuts each alone."""
    return [_pixels(example.image) for example in examples]


def load_videos(examples: Sequence[Example]) -> Videos:
    """The recordings of a batch.

    Raises:
        ValueError: an example has none, or they differ in size or length, so that they cannot be one batch.
    """
    missing = [example.pair_id for example in examples if example.video is None]
    if missing:
        raise ValueError(
            f"supervised fine-tuning needs a video for every example; without one: {', '.join(missing[:3])}"
        )
    videos = [clips.read(example.video) for example in examples if example.video]
    if len({video.shape for video in videos}) > 1:
        sizes = {str(example.video): video.shape[:3] for example, video in zip(examples, videos, strict=True)}
        raise ValueError(f"videos of one run must have one shape (frames, height, width): {sizes}")
    return np.stack(videos)


@lru_cache(maxsize=4096)
def _pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))
