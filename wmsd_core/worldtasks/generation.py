"""Task-solution pairs for each frame, written by a vision-language model (paper 4.1.1: eight per frame).

A frame's pairs come from one generation, that is one model, prompt version and configuration; another generation
replaces them. Nothing is lost without a reason: a pair that cannot be used goes to `rejected_pairs`, whole; a frame that
was refused, got no usable pair or no readable answer is rejected under its id, so that it is not passed on.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
from pydantic import Field, field_validator

from wmsd_core.config import Config, digest
from wmsd_core.frames import Frame, Refusal, find
from wmsd_core.frames.refusal import attempt, failed, record
from wmsd_core.frames.view import view
from wmsd_core.seeds import derive
from wmsd_core.store import insert, reading, writing
from wmsd_core.store.funnel import lacking, reject
from wmsd_core.vlm import Refused, VisionLanguageModel, prompts
from wmsd_core.vlm.stream import as_they_come, gathered
from wmsd_core.worldtasks.checks import CHECKS, Accepted, Limits, Rejected, sift
from wmsd_core.worldtasks.kinds import AGENTS, TASKS, Cell, Mix, wishes
from wmsd_core.worldtasks.pairs import TaskPairs

PROMPT = "generate"


class GenerateConfig(Config):
    """How many pairs are asked for, of which kinds, and what makes one usable."""

    revision = 3

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
    min_solution_words: int = Field(default=1, ge=1)
    """Shortest solution, in words; it must also be longer than its instruction. The published ones have 34 and more:
    20 suits real frames, while the miniature's solutions have as few as 7."""
    max_likeness: float = Field(default=0.7, ge=0, le=1)
    """ROUGE-L of two tasks of one agent in one frame, above which the later one is dropped, as in Self-Instruct; it is taken
    over the words that carry meaning. Tasks with the same verb and object are dropped too. 1: only exact repetitions."""
    tolerate: tuple[str, ...] = ()
    """Faults of a text that are let pass: a list of the reasons under which rejected pairs are counted."""
    wishes: int = Field(default=0, ge=0)
    """Kinds of agent and task that each frame's request names, "at least one of each where the picture allows it". They are
    drawn from `mix` by the frame's identity. 0: none; 3 makes for a more even set."""
    mix: Mix = Mix()
    """What the wishes are drawn from."""

    @field_validator("tolerate")
    @classmethod
    def _known(cls, reasons: tuple[str, ...]) -> tuple[str, ...]:
        known = [reason for reason, _ in CHECKS if reason != "empty_solution"]
        if unknown := set(reasons) - set(known):
            raise ValueError(f"there is no fault named {', '.join(sorted(unknown))}; there are: {', '.join(known)}")
        return reasons

    def limits(self) -> Limits:
        return Limits(
            self.count,
            self.max_task_words,
            self.max_solution_words,
            self.min_solution_words,
            self.max_likeness,
            frozenset(self.tolerate),
        )


@dataclass(frozen=True)
class Written:
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


def generation(model: str, config: GenerateConfig) -> str:
    """The `config_hash` of the pairs that `model` writes under `config` and the present prompt."""
    return digest([model, prompts.version(PROMPT), config.digest()])


_DONE = """
    SELECT frame_id FROM task_pairs WHERE config_hash = $made_by
    UNION SELECT item FROM rejections
    WHERE stage = 'generate' AND config_hash = $made_by AND reason IN ('refused', 'no_pairs')
"""
"""SQL: the frames that a generation has finished with."""


def unwritten(store: Path, model: str, config: GenerateConfig) -> dict[str, int]:
    """How the ids of suitable frames begin that have neither pairs of this generation nor its word that there are none."""
    with reading(store) as con:
        return lacking(con, "screen", _DONE, made_by=generation(model, config))


def pair_id(frame_id: str, task: str) -> str:
    """Identity of a task pair: SHA-256 of frame and task text, hexadecimal."""
    return hashlib.sha256(f"{frame_id}\n{task}".encode()).hexdigest()


def generate_pairs(
    store: Path, frame_ids: Sequence[str], vlm: VisionLanguageModel, config: GenerateConfig, *, concurrency: int = 1
) -> Written:
    """Writes pairs for those of `frame_ids` that this generation has not done, and stores them as they come.

    `concurrency` requests are under way at a time; more than one needs a model that may be called from several threads,
    as clients of a server may. What the model raises other than ValueError is passed on, after the answers that were
    under way have been stored.
    """
    made_by = generation(vlm.name, config)
    with reading(store) as con:
        ids = {"ids": list(frame_ids)}
        rows = con.execute(
            f"SELECT unnest($ids) EXCEPT ({_DONE})",
            {**ids, "made_by": made_by},
        ).fetchall()
        todo = find(con, [row[0] for row in rows])
        # Frames with something to replace; the others need no DELETE, which would search tables of millions of rows.
        rows = con.execute(
            """
            SELECT frame_id FROM task_pairs WHERE frame_id IN (SELECT unnest($ids))
            UNION SELECT frame_id FROM rejected_pairs WHERE frame_id IN (SELECT unnest($ids))
            UNION SELECT item FROM rejections WHERE stage = 'generate' AND item IN (SELECT unnest($ids))
            """,
            ids,
        ).fetchall()
        old = {row[0] for row in rows}
    outcomes: Counter[str] = Counter()
    faults: Counter[str] = Counter()
    for answers in gathered(as_they_come(partial(_ask, vlm=vlm, config=config), todo, concurrency)):
        stored = _Rows(vlm.name, config)
        for frame, answer in answers:
            outcomes[stored.add(frame, answer)] += 1
        with writing(store) as con:
            stored.write(con, old)
        outcomes["pairs"] += len(stored.pairs)
        faults.update(row["reason"] for row in stored.rejected)
    return Written(
        frames=outcomes["done"],
        before=len(frame_ids) - len(todo),
        pairs=outcomes["pairs"],
        faults=dict(faults),
        refused=outcomes["refused"],
        without_pairs=outcomes["no_pairs"],
        unanswered=outcomes["unanswered"],
        unusable=outcomes["unusable"],
    )


def _ask(frame: Frame, vlm: VisionLanguageModel, config: GenerateConfig) -> Answered:
    """The model's answer for one frame, or why there is none."""
    picture = attempt(view, frame)
    if isinstance(picture, Refusal):
        return picture
    cells = wishes(frame.frame_id, config.mix, config.wishes, seed=config.seed) if config.wishes else []
    system, user = prompts.messages(PROMPT, count=str(config.count), wishes=_wish(cells))
    messages = (system, replace(user, images=(picture,)))
    failure = ValueError()
    for index in range(config.attempts):
        try:
            return vlm.complete(messages, TaskPairs, seed=derive(config.seed, PROMPT, frame.frame_id, index))
        except Refused as refusal:  # said outside the form for it, and means the same
            return TaskPairs(refused=True, reason=refusal.reason)
        except ValueError as error:
            failure = error
    return failure


def _wish(cells: Sequence[Cell]) -> str:
    if not cells:
        return ""
    kinds = [f"- {cell}: {TASKS[cell.task_type]}; the agent is {AGENTS[cell.agent_type]}" for cell in cells]
    return "\n".join(["Where the picture allows it, let at least one task be of each of these kinds:", *kinds])


class _Rows:
    """The outcomes of some frames as rows, written together."""

    def __init__(self, model: str, config: GenerateConfig) -> None:
        self.config = config
        self.made_by = generation(model, config)
        self.makers = {"model": model, "prompt_version": prompts.version(PROMPT), "config_hash": self.made_by}
        self.answered: list[str] = []
        self.unusable: list[tuple[str, Path, Refusal]] = []
        self.rejections: list[dict[str, Any]] = []
        self.pairs: list[dict[str, Any]] = []
        self.rejected: list[dict[str, Any]] = []
        self.labels: list[dict[str, Any]] = []
        self.wishes: list[dict[str, Any]] = []

    def add(self, frame: Frame, answer: Answered) -> str:
        """Takes the answer for a frame in, and returns what became of the frame."""
        if isinstance(answer, Refusal):
            self.unusable.append((frame.frame_id, frame.path, answer))
            return "unusable"
        sifted = self._sifted(answer) if isinstance(answer, TaskPairs) else answer
        if isinstance(sifted, ValueError):
            return self._reject(frame, "unanswered", str(sifted))
        assert isinstance(answer, TaskPairs)
        self.answered.append(frame.frame_id)
        if self.config.wishes:
            cells = wishes(frame.frame_id, self.config.mix, self.config.wishes, seed=self.config.seed)
            self.wishes += [
                {"frame_id": frame.frame_id, **cell._asdict(), "config_hash": self.made_by} for cell in cells
            ]
        if answer.refused:
            return self._reject(frame, "refused", answer.reason or "no reason given")
        accepted, rejected = sifted
        self.rejected += [{"frame_id": frame.frame_id, **vars(pair), **self.makers} for pair in rejected]
        for pair in accepted:
            identity = pair_id(frame.frame_id, pair.parsed.task)
            self.pairs.append(
                {
                    "pair_id": identity,
                    "frame_id": frame.frame_id,
                    "position": pair.position,
                    "agent": pair.parsed.agent,
                    "instruction": pair.parsed.instruction,
                    "task": pair.parsed.task,
                    "solution": pair.solution,
                    "end_state": " ".join(pair.pair.end_state.split()),
                    **self.makers,
                }
            )
            if pair.pair.agent_type and pair.pair.task_type:
                labeller = f"{self.makers['prompt_version']} {self.makers['model']}"
                kinds = {"agent_type": pair.pair.agent_type, "task_type": pair.pair.task_type}
                self.labels.append({"pair_id": identity, "labeller": labeller, **kinds})
        if not accepted:
            why = f"none of {len(answer.pairs)} pairs is usable" if answer.pairs else "the answer holds no pair"
            return self._reject(frame, "no_pairs", why)
        return "done"

    def _sifted(self, answer: TaskPairs) -> tuple[list[Accepted], list[Rejected]] | ValueError:
        """Usable pairs and others; whatever a text does to the checks is the fault of that answer alone."""
        try:
            return sift(answer.pairs, self.config.limits())
        except Exception as error:
            return failed(error)

    def write(self, con: duckdb.DuckDBPyConnection, old: set[str]) -> None:
        """Stores everything in place of what frames in `old` had; an unreadable answer replaces no pairs."""
        unusable = {frame_id for frame_id, _, _ in self.unusable}
        forget_outcomes(con, [row["item"] for row in self.rejections if row["item"] in old - unusable])
        forget_pairs(con, [frame_id for frame_id in self.answered if frame_id in old])
        record(con, self.unusable, self.made_by)
        reject(con, self.rejections)
        insert(con, "task_pairs", self.pairs)
        insert(con, "rejected_pairs", self.rejected)
        insert(con, "taxonomy", self.labels)
        insert(con, "wishes", self.wishes)

    def _reject(self, frame: Frame, reason: str, detail: str) -> str:
        row = {"stage": "generate", "item": frame.frame_id, "reason": reason, "detail": detail, "path": str(frame.path)}
        self.rejections.append({**row, "config_hash": self.made_by})
        return reason


def forget_outcomes(con: duckdb.DuckDBPyConnection, frame_ids: Sequence[str]) -> None:
    """Deletes why this stage turned frames down."""
    if frame_ids:
        con.execute("DELETE FROM rejections WHERE stage = 'generate' AND item IN (SELECT unnest(?))", [list(frame_ids)])


def forget_pairs(con: duckdb.DuckDBPyConnection, frame_ids: Sequence[str]) -> None:
    """Deletes frames' pairs, and all that is known of them."""
    if not frame_ids:
        return
    forget_outcomes(con, frame_ids)
    ids = [list(frame_ids)]
    mine = "SELECT pair_id FROM task_pairs WHERE frame_id IN (SELECT unnest(?))"
    con.execute(f"DELETE FROM rejections WHERE stage = 'generate' AND item IN ({mine})", ids)
    for table in ("taxonomy", "verifications"):
        con.execute(f"DELETE FROM {table} WHERE pair_id IN ({mine})", ids)
    for table in ("task_pairs", "rejected_pairs", "wishes"):
        con.execute(f"DELETE FROM {table} WHERE frame_id IN (SELECT unnest(?))", ids)


def forget_all_pairs(con: duckdb.DuckDBPyConnection) -> None:
    """Deletes all pairs and all that is known of them, so that they are written again."""
    for table in ("task_pairs", "rejected_pairs", "taxonomy", "verifications", "wishes"):
        con.execute(f"DELETE FROM {table}")
    con.execute("DELETE FROM rejections WHERE stage = 'generate'")
