"""Task-solution pairs for each frame, written by a vision-language model (paper 4.1.1: eight per frame).

A frame's pairs come from one generation, that is one model, prompt version and configuration; another generation
replaces them. What cannot be used is recorded with its reason: a pair under the pair's id, so that its frame stays; a
frame that was refused, got no usable pair or no readable answer under the frame's id, so that it is not passed on.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import duckdb
from pydantic import Field

from wmsd_core.config import Config, digest
from wmsd_core.frames import Frame, Refusal, find
from wmsd_core.frames.refusal import attempt, record
from wmsd_core.seeds import derive
from wmsd_core.store import insert, reading, writing
from wmsd_core.vlm import VisionLanguageModel, prompts
from wmsd_core.worldtasks.pairs import Limits, TaskPairs, sift
from wmsd_core.worldtasks.view import view

PROMPT = "generate"
BATCH = 16


class GenerateConfig(Config):
    """How many pairs are asked for, and their limits."""

    count: int = Field(default=8, ge=1)
    """Pairs per frame; the paper has eight."""
    seed: int = 0
    """Run seed; each frame has its own, derived from it."""
    attempts: int = Field(default=2, ge=1)
    """Requests per frame and run, each with another seed, while no answer can be read."""
    max_task_words: int = Field(default=30, ge=1)
    """Longest instruction, in words; the published ones have up to 14."""
    max_solution_words: int = Field(default=200, ge=1)
    """Longest solution, in words; the published ones have up to 83."""


@dataclass(frozen=True)
class Generated:
    """Frames and pairs of one run."""

    frames: int
    """Frames that got pairs now."""
    before: int
    """Frames that were done before."""
    pairs: int
    faults: dict[str, int]
    """Rejected pairs by reason."""
    refused: int
    """Frames refused by the model."""
    without_pairs: int
    """Frames of whose pairs none was usable."""
    unanswered: int
    """Frames without a readable answer; the next run asks again."""
    unusable: int
    """Frames that cannot be decoded."""


Answered = TaskPairs | ValueError | Refusal


def generation(model: str, cfg: GenerateConfig) -> str:
    """The `config_hash` of the pairs that `model` writes under `cfg` and the present prompt."""
    return digest([model, prompts.version(PROMPT), cfg.digest()])


def pair_id(frame_id: str, task: str) -> str:
    """Identity of a task pair: SHA-256 of frame and task text, hexadecimal."""
    return hashlib.sha256(f"{frame_id}\n{task}".encode()).hexdigest()


def generate_pairs(
    store: Path, frame_ids: Sequence[str], vlm: VisionLanguageModel, cfg: GenerateConfig, *, concurrency: int = 1
) -> Generated:
    """Writes pairs for those of `frame_ids` that this generation has not done, batch by batch.

    `concurrency` requests are under way at a time; more than one needs a model that may be called from several threads,
    as clients of a server may. What the model raises other than ValueError is passed on; earlier batches are stored.
    """
    made_by = generation(vlm.name, cfg)
    with reading(store) as con:
        rows = con.execute(
            """
            SELECT unnest($ids)
            EXCEPT SELECT frame_id FROM task_pairs WHERE config_hash = $made_by
            EXCEPT SELECT item FROM rejections
                   WHERE stage = 'generate' AND config_hash = $made_by AND reason IN ('refused', 'no_pairs')
            """,
            {"ids": list(frame_ids), "made_by": made_by},
        ).fetchall()
        todo = find(con, [row[0] for row in rows])
    outcomes: Counter[str] = Counter()
    faults: Counter[str] = Counter()
    pairs = 0
    with ThreadPoolExecutor(concurrency) as pool:
        for start in range(0, len(todo), BATCH):
            part = todo[start : start + BATCH]
            answers = list(zip(part, pool.map(partial(_ask, vlm=vlm, cfg=cfg), part), strict=True))
            with writing(store) as con:
                for frame, answer in answers:
                    outcome, usable, reasons = _store(con, frame, answer, vlm.name, cfg)
                    outcomes[outcome] += 1
                    pairs += usable
                    faults.update(reasons)
    return Generated(
        frames=outcomes["done"],
        before=len(frame_ids) - len(todo),
        pairs=pairs,
        faults=dict(faults),
        refused=outcomes["refused"],
        without_pairs=outcomes["no_pairs"],
        unanswered=outcomes["unanswered"],
        unusable=outcomes["unusable"],
    )


def _ask(frame: Frame, vlm: VisionLanguageModel, cfg: GenerateConfig) -> Answered:
    """The model's answer for one frame, or why there is none."""
    picture = attempt(view, frame)
    if isinstance(picture, Refusal):
        return picture
    system, user = prompts.messages(PROMPT, count=str(cfg.count))
    messages = (system, replace(user, images=(picture,)))
    failure = ValueError()
    for index in range(cfg.attempts):
        try:
            return vlm.complete(messages, TaskPairs, seed=derive(cfg.seed, PROMPT, frame.frame_id, index))
        except ValueError as error:
            failure = error
    return failure


def _store(
    con: duckdb.DuckDBPyConnection, frame: Frame, answer: Answered, model: str, cfg: GenerateConfig
) -> tuple[str, int, list[str]]:
    """Writes the outcome for one frame in place of any earlier one: its name, usable pairs, reasons of the others."""
    made_by = generation(model, cfg)
    if isinstance(answer, Refusal):
        record(con, [(frame.frame_id, frame.path, answer)], made_by)
        return "unusable", 0, []
    con.execute("DELETE FROM rejections WHERE stage = 'generate' AND path = ?", [str(frame.path)])
    if isinstance(answer, ValueError):
        _reject(con, frame, frame.frame_id, "unanswered", str(answer), made_by)
        return "unanswered", 0, []
    con.execute(
        "DELETE FROM taxonomy WHERE pair_id IN (SELECT pair_id FROM task_pairs WHERE frame_id = ?)", [frame.frame_id]
    )
    con.execute("DELETE FROM task_pairs WHERE frame_id = ?", [frame.frame_id])
    if answer.refused:
        _reject(con, frame, frame.frame_id, "refused", answer.reason or "no reason given", made_by)
        return "refused", 0, []
    accepted, rejected = sift(answer.pairs, Limits(cfg.count, cfg.max_task_words, cfg.max_solution_words))
    for pair in rejected:
        # A repeated task has the identity of the accepted one; its position keeps the two apart.
        item = f"{pair_id(frame.frame_id, pair.task)} {pair.position}"
        _reject(con, frame, item, pair.reason, f"{pair.detail}; task: {pair.task}", made_by)
    rows = [
        {
            "pair_id": pair_id(frame.frame_id, pair.parsed.task),
            "frame_id": frame.frame_id,
            "position": pair.position,
            "agent": pair.parsed.agent,
            "instruction": pair.parsed.instruction,
            "task": pair.parsed.task,
            "solution": pair.solution,
            "model": model,
            "prompt_version": prompts.version(PROMPT),
            "config_hash": made_by,
        }
        for pair in accepted
    ]
    insert(con, "task_pairs", rows)
    if not rows:
        detail = f"none of {len(answer.pairs)} pairs is usable" if answer.pairs else "the answer holds no pair"
        _reject(con, frame, frame.frame_id, "no_pairs", detail, made_by)
    return "done" if rows else "no_pairs", len(rows), [pair.reason for pair in rejected]


def _reject(
    con: duckdb.DuckDBPyConnection, frame: Frame, item: str, reason: str, detail: str, config_hash: str
) -> None:
    row = {"stage": "generate", "item": item, "reason": reason, "detail": detail, "path": str(frame.path)}
    insert(con, "rejections", [{**row, "config_hash": config_hash}], replace=True)
