"""WorldTasks-Bench (paper sections 4.1.2 and A.4): what is evaluated, and what makes two evaluations the same.

Items are task-solution pairs of frames that training never sees. Each is generated three times from the same noise:

    base          short task,        frozen base
    demonstrator  detailed solution, frozen base
    executor      short task,        trained adapter (its moving average)

A VLM answers three questions about each video: task, agent, consistency. The paper draws 200 items; the default here is 400,
for which an interval at 50 % is +-5 points wide instead of +-7.
"""

from dataclasses import dataclass
from typing import Literal

import duckdb
from pydantic import Field

from wmsd_core import seeds
from wmsd_core.config import Config, digest
from wmsd_core.vlm import prompts

Arm = Literal["base", "demonstrator", "executor"]
ARMS: tuple[Arm, ...] = ("base", "demonstrator", "executor")
CRITERIA = ("task", "agent", "consistency")
QUESTIONS = {criterion: f"judge_{criterion}" for criterion in CRITERIA}
"""Criterion -> name of the prompt that asks for it."""


class EvaluateConfig(Config):
    """What is generated and judged."""

    tasks: int = Field(400, ge=1)
    """Items to draw from the bench split. Below 300 an interval is wider than +-5.7 points at 50 %; the report says so."""
    steps: int = Field(8, ge=1)
    """Sampler steps per video."""
    seed: int = 0
    """Run seed. The noise of an item is derived from it and from the item, so that it is the same for every arm."""
    batch: int = Field(32, ge=1)
    """Videos generated, or judged, at once. It changes the speed and what a kill can lose, not what is measured."""
    arms: tuple[Arm, ...] = Field(ARMS, min_length=1)
    """Which arms to run."""

    @property
    def sampler(self) -> str:
        """The sampler's identity, as stored with each video."""
        return f"euler/{self.steps}"


class Evaluation(Config):
    """One evaluation, fully named: settings, model, adapter and judge. It travels from stage to stage as plain JSON."""

    config: EvaluateConfig = EvaluateConfig()
    """Items, seed, steps and arms."""
    model: str
    """Checksum of the base weights (`Generator.checksum`)."""
    adapter: str
    """Checksum of the trained adapter; '' only where the executor is not among the arms."""
    judge: str
    """Name of the judging model (`VisionLanguageModel.name`)."""

    def adapter_of(self, arm: Arm) -> str:
        """The adapter column of an arm's videos: '' for the frozen base."""
        return self.adapter if arm == "executor" else ""


@dataclass(frozen=True)
class Item:
    """One task of the benchmark with the picture that it starts from."""

    pair_id: str
    frame_id: str
    image: str
    """Path of the picture."""
    width: int
    height: int
    task: str
    solution: str

    def text(self, arm: Arm) -> str:
        """What the generator is told."""
        return self.solution if arm == "demonstrator" else self.task

    def seed(self, run_seed: int) -> int:
        """The noise seed, equal for all arms."""
        return seeds.derive(run_seed, "eval", self.pair_id)


def draw(con: duckdb.DuckDBPyConnection, config: EvaluateConfig) -> list[Item]:
    """The first `tasks` pairs of the bench split in order of pair id.

    Pair ids are SHA-256 values: their order is a random draw that needs no generator, and a larger draw contains a smaller one.

    Raises:
        ValueError: the bench split has no task.
    """
    rows = con.execute(
        """
        SELECT pair_id, frame_id, path, width, height, task, solution
        FROM task_pairs JOIN splits USING (frame_id) JOIN frames USING (frame_id)
        WHERE split = 'bench' ORDER BY pair_id LIMIT $tasks
        """,
        {"tasks": config.tasks},
    ).fetchall()
    if not rows:
        raise ValueError("the bench split has no task; run the generate stage first, with more frames or a larger share for bench")
    return [Item(*row) for row in rows]


def question_versions() -> dict[str, str]:
    """Criterion -> `question_version` of its prompt, as judgments name it."""
    return {criterion: prompts.version(name) for criterion, name in QUESTIONS.items()}


def evaluation_id(items: list[Item], evaluation: Evaluation) -> str:
    """SHA-256 of items, weights, adapter, seed and sampler; judge and question versions too, as they change every score."""
    return digest(
        {
            "items": [item.pair_id for item in items],
            "model": evaluation.model,
            "adapter": evaluation.adapter,
            "seed": evaluation.config.seed,
            "sampler": evaluation.config.sampler,
            "judge": evaluation.judge,
            "questions": question_versions(),
        }
    )


def video_id(item: Item, arm: Arm, evaluation: Evaluation) -> str:
    """SHA-256 of pair, arm, text, weights, adapter, seed and sampler.

    The text is part of it because a pair keeps its id when its solution is written anew.
    """
    config = evaluation.config
    return digest(
        [
            item.pair_id,
            arm,
            item.text(arm),
            evaluation.model,
            evaluation.adapter_of(arm),
            item.seed(config.seed),
            config.sampler,
        ]
    )
