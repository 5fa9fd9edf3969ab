"""Prompts of VBVR-Bench as short tasks, for the arm whose prompt is rewritten (paper section A.5).

    OUT/In-Domain_50/TASK/00000/prompt.txt, first_frame.png

The folders are those of the truth: whatever makes videos of the truth makes them of these, and the scores are held against the
truth as before.
"""

import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image
from pydantic import BaseModel, Field

from wmsd_core import seeds
from wmsd_core.bench.suites.vbvr.layout import Sample, samples
from wmsd_core.files import replacing
from wmsd_core.vlm import VisionLanguageModel, prompts
from wmsd_core.vlm.stream import as_they_come

PROMPT = "rewrite"


class ShortTask(BaseModel):
    """The answer that is asked for."""

    task: str = Field(min_length=1, max_length=400)
    """One sentence."""


def rewrite(truth: Path, vlm: VisionLanguageModel, out: Path, *, concurrency: int = 1) -> dict[str, object]:
    """Has the missing prompts rewritten; returns counts, and why some could not be.

    Raises:
        ValueError: the truth is missing, of another version, or the folder to write itself.
    """
    if out.resolve() == truth.resolve():
        raise ValueError("name another folder than that of the truth, whose prompts would be lost")
    known, _ = samples(truth)
    todo = [sample for sample in known if not (out / sample.name / "prompt.txt").is_file()]
    failed: dict[str, str] = {}
    for sample, answer in as_they_come(partial(_ask, vlm=vlm), todo, concurrency):
        if not isinstance(answer, str):
            failed[sample.name] = str(answer)
            continue
        folder = out / sample.name
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(sample.folder / "first_frame.png", folder / "first_frame.png")
        with replacing(folder / "prompt.txt") as partial_file:  # last: a folder that has one is whole
            partial_file.write_text(answer + "\n", encoding="utf-8")
    return {
        "rewritten": len(todo) - len(failed),
        "found": len(known) - len(todo),
        "unanswered": len(failed),
        "by": f"{vlm.name} {prompts.version(PROMPT)}",
        "reasons": failed,
    }


def _ask(sample: Sample, vlm: VisionLanguageModel) -> str | ValueError:
    if not sample.prompt:
        return ValueError("its truth has no prompt")
    try:
        with Image.open(sample.folder / "first_frame.png") as image:
            picture = np.asarray(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError) as error:
        return ValueError(f"its first frame cannot be read: {error}")
    system, user = prompts.messages(PROMPT, prompt=sample.prompt)
    asked = (system, replace(user, images=(picture,)))
    try:
        answer = vlm.complete(asked, ShortTask, seed=seeds.derive(0, PROMPT, sample.name))
    except ValueError as error:
        return error
    return " ".join(answer.task.split()) or ValueError("the task is empty")
