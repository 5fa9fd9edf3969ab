"""Solutions written at inference, for the arm "vlm" (paper section 4.4, "+VLM").

The model sees the first frame and the short task of an item, and nothing else: not the solution that came with the task when
the two were invented together, which is what the arm "demonstrator" reads.
"""

import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from pydantic import BaseModel, Field

from wmsd_core import seeds, store
from wmsd_core.bench.benchmark import Item
from wmsd_core.bench.evaluation import EvaluateConfig, items_of
from wmsd_core.frames.refusal import Refusal, attempt
from wmsd_core.frames.view import view
from wmsd_core.vlm import VisionLanguageModel, prompts
from wmsd_core.vlm.stream import as_they_come, gathered

PROMPT = "solve"


class Solution(BaseModel):
    """The answer that is asked for."""

    solution: str = Field(min_length=1)
    """What happens in the video, step by step."""


@dataclass(frozen=True)
class Solved:
    """What a run of `write_solutions` did."""

    written: int
    found: int
    """Solutions that existed."""
    unanswered: int
    """Items without a readable answer: no video is made of them, and the next run asks again."""


def writer_of(vlm: VisionLanguageModel) -> str:
    """What an evaluation names as its writer: model and version of the request."""
    return f"{vlm.name} {prompts.version(PROMPT)}"


def write_solutions(path: Path, vlm: VisionLanguageModel, config: EvaluateConfig, *, concurrency: int = 1) -> Solved:
    """Has the missing solutions of an evaluation's items written; an answer that cannot be used is stored with its reason."""
    writer = writer_of(vlm)
    with store.reading(path) as con:
        items = items_of(con, config, writer=writer)
    todo = [item for item in items if not item.written]
    unanswered = 0
    for answers in gathered(as_they_come(partial(_timed, vlm=vlm, seed=config.seed), todo, concurrency)):
        rows = [
            {
                "item_id": item.item_id,
                "writer": writer,
                "solution": answer if isinstance(answer, str) else None,
                "reason": "" if isinstance(answer, str) else str(answer),
                "seconds": seconds,
            }
            for item, (answer, seconds) in answers
        ]
        with store.writing(path) as con:
            store.insert(con, "written_solutions", rows, replace=True)
        unanswered += sum(row["solution"] is None for row in rows)
    return Solved(len(todo) - unanswered, len(items) - len(todo), unanswered)


def _timed(item: Item, vlm: VisionLanguageModel, seed: int) -> tuple[str | ValueError | Refusal, float]:
    """The answer, and the seconds that it took."""
    start = time.perf_counter()
    answer = _ask(item, vlm, seed)
    return answer, time.perf_counter() - start


def _ask(item: Item, vlm: VisionLanguageModel, seed: int) -> str | ValueError | Refusal:
    picture = attempt(view, item.frame)
    if isinstance(picture, Refusal):
        return picture
    system, user = prompts.messages(PROMPT, task=item.task)
    try:
        answer = vlm.complete(
            (system, replace(user, images=(picture,))), Solution, seed=seeds.derive(seed, PROMPT, item.item_id)
        )
    except ValueError as error:
        return error
    return answer.solution.strip() or ValueError("the solution is empty")
