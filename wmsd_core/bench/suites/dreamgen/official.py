"""What the published scripts of DreamGen Bench make of a folder of videos, faults included.

Their numbers are in print, so they are reproduced: which files are found, which text is asked about, which frames are shown,
what a reply counts, and the file that is written. Seven things differ from what one would expect:

    1. `qwen` reads --zeroshot and never uses it: from the command line its question is always the one for trained models.
    2. `gpt-4o` takes any value of --zeroshot for true, `false` too.
    3. The text is found by looking for `cogvideo`, `hunyuan`, `wan` (and, for `gpt-4o`, `cosmos`) in the whole path: a folder
       /home/hunyuan_user cuts the first words off every text, and a path that has none of them leaves `gpt-4o` with the
       text of the video before, or ends it.
    4. `cogvideo` takes the text from a part of the path that depends on how deep the folder lies.
    5. A name without an underscore ends the script.
    6. `physics` keeps the number in the text that it writes down; it asks without any text.
    7. What cannot be read as 1 is 0, and a video that is not there does not count.

The wording of the questions is not reproduced here: it is the scripts' own text. What asks is handed in.

Read in NVIDIA/GR00T-Dreams ec3881d, dreamgenbench/eval_sr_qwen_whole.py, eval_sr_gpt4o_whole.py, eval_qwen_pa.py, utils.py.
"""

import glob
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from wmsd_core.arrays import Video

Script = Literal["qwen", "gpt-4o", "physics"]
SCRIPTS: tuple[Script, ...] = ("qwen", "gpt-4o", "physics")
_SHOWN: dict[Script, tuple[int, float]] = {"qwen": (49, 0.3), "gpt-4o": (8, 0.5)}
"""Frames, and by what their sides are multiplied; `physics` is given the file."""


@dataclass(frozen=True)
class Row:
    """One line of the file that a script writes."""

    path: str
    text: str
    prediction: int


def videos(folder: str) -> list[str]:
    """The files that are found, in the order of the file system: *.mp4 in small letters, hidden ones left out."""
    # pathlib would find hidden files, and join folders otherwise: both change what the texts are cut from.
    return glob.glob(os.path.join(folder, "**", "*.mp4"), recursive=True)  # noqa: PTH118, PTH207


def zero_shot(script: Script, argument: str | None) -> bool:
    """Whether the question for untrained models is asked, given what follows --zeroshot; None where it is not given."""
    return script == "gpt-4o" and bool(argument)


def texts(paths: Sequence[str], script: Script) -> list[str]:
    """The text that each video is asked about, or, of `physics`, that is written down.

    Raises:
        IndexError: a name has no underscore.
        NameError: `gpt-4o` does not know the first path, and there is no text before it.
    """
    found: list[str] = []
    for path in paths:
        text = _text(path, script)
        if text is None and not found:
            raise NameError(f"the script knows no text for {path}, and there is none before it")
        found.append((found[-1] if text is None else text).replace("_", " "))
    return found


def _text(path: str, script: Script) -> str | None:
    if script == "physics":
        return Path(path).stem
    if "cogvideo" in path:
        if "zeroshot" in path:
            return path.split("/", 8)[-1].split("_", 1)[1].replace(".mp4", "")
        return path.split("/")[-3].split("_", 1)[1]
    if "hunyuan" in path:
        return path.split("/")[-1].split("_", 1)[1].split("_", 4)[-1].replace(".mp4", "")
    if script == "qwen" or "wan" in path or "cosmos" in path:
        return Path(path).stem.split("_", 1)[1]
    return None


def shown(video: Video, script: Literal["qwen", "gpt-4o"]) -> Video:
    """The frames that are shown, uint8 [T, H, W, 3]: evenly spaced and smaller; of a short video the last one is repeated."""
    count, scale = _SHOWN[script]
    if len(video) < count:
        indices = [*range(len(video)), *[len(video) - 1] * (count - len(video))]
    else:
        indices = np.linspace(0, len(video) - 1, count, dtype=int).tolist()
    size = (int(video.shape[2] * scale), int(video.shape[1] * scale))
    return np.stack([cv2.resize(video[index], size) for index in indices])


def prediction(reply: str | None) -> int:
    """1 for a reply that begins with 1, else 0; None is a request that failed."""
    return int((reply or "").strip().startswith("1"))


def run(folder: str, script: Script, ask: Callable[[str, str], str | None]) -> list[Row]:
    """A row for each video that is found.

    Args:
        ask: from path and text to the reply; None where there was none.

    Raises:
        IndexError, NameError: as `texts`.
    """
    paths = videos(folder)
    return [
        Row(path, text, prediction(ask(path, text))) for path, text in zip(paths, texts(paths, script), strict=True)
    ]


def table(rows: Sequence[Row]) -> str:
    """The file that is written: commas of the text become spaces, those of the path break the line."""
    lines = [f"{row.path},{row.text.replace(',', ' ')},{row.prediction}\n" for row in rows]
    return "".join(["video_path,prompt,prediction\n", *lines])


def average(rows: Sequence[Row]) -> float:
    """The share of ones among what was found; 0 if nothing was."""
    return sum(row.prediction for row in rows) / len(rows) if rows else 0.0
