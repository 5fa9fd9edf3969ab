"""WorldTasks-Bench (paper sections 4.1.2 and A.4): what is evaluated, and what makes two evaluations the same.

Items are task-solution pairs of frames that training never sees. Each is generated once per arm, from the same noise:

    base          short task,        frozen base
    demonstrator  detailed solution, frozen base
    executor      short task,        trained adapter (its moving average)
    vlm           a solution that a VLM writes from first frame and task alone, frozen base; only if asked for

A VLM answers three questions about each video: task, agent, consistency. The paper draws 200 items; the default here is
400, for which the interval of a score of 50 % is +-5 points instead of +-7.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import duckdb
from pydantic import Field

from wmsd_core import seeds
from wmsd_core.config import Config, digest
from wmsd_core.frames import Frame

Arm = Literal["base", "demonstrator", "vlm", "executor"]
ARMS: tuple[Arm, ...] = ("base", "demonstrator", "executor")
"""What is run unless asked for otherwise."""
CRITERIA = ("task", "agent", "consistency")


class EvaluateConfig(Config):
    """What is generated and judged."""

    tasks: int = Field(default=400, ge=1)
    """Items to draw from the bench split. With fewer than 300, which the report points out, scores of 50 % have
    intervals wider than +-5.6 points."""
    steps: int = Field(default=8, ge=1)
    """Sampler steps per video."""
    seed: int = 0
    """Run seed. The noise of an item is derived from it and from the item, so that it is the same for every arm."""
    batch: int = Field(default=32, ge=1)
    """Videos generated, or judged, at once. It changes the speed and what a kill can lose, not what is measured."""
    arms: tuple[Arm, ...] = Field(default=ARMS, min_length=1)
    """Which arms to run: base, demonstrator, executor, and vlm, whose texts are written at inference by models.writer."""

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
    writer: str = ""
    """Who writes the texts of the arm vlm (`solving.writer_of`); '' where it is not among the arms."""

    def adapter_of(self, arm: Arm) -> str:
        """The adapter column of an arm's videos: '' for the frozen base."""
        return self.adapter if arm == "executor" else ""


@dataclass(frozen=True)
class Item:
    """One task of the benchmark with the picture that it starts from."""

    pair_id: str
    frame: Frame
    task: str
    solution: str
    written: str = ""
    """The solution that the evaluation's writer has given for picture and task; '' where there is none."""

    def text(self, arm: Arm) -> str:
        """What the generator is told; '' where nobody has written it."""
        match arm:
            case "demonstrator":
                return self.solution
            case "vlm":
                return self.written
            case _:
                return self.task

    def seed(self, run_seed: int) -> int:
        """The noise seed, equal for all arms."""
        return seeds.derive(run_seed, "eval", self.pair_id)


def draw(con: duckdb.DuckDBPyConnection, config: EvaluateConfig, *, writer: str = "") -> list[Item]:
    """The first `tasks` pairs of the bench split in order of pair id; none that a stage has turned down since.

    Pair ids are SHA-256 values: their order is a random draw that needs no generator, and a larger draw contains a
    smaller one.

    Raises:
        ValueError: the bench split has no task.
    """
    rows = con.execute(
        """
        SELECT pair_id, task, task_pairs.solution, coalesce(written.solution, ''), frame_id, path, format, width, height
        FROM task_pairs JOIN usable_pairs USING (pair_id) JOIN splits USING (frame_id) JOIN frames USING (frame_id)
        LEFT JOIN (FROM written_solutions WHERE writer = $writer) AS written USING (pair_id)
        WHERE split = 'bench' AND (examined IS NULL OR list_contains(examined, pair_id))
        ORDER BY pair_id LIMIT $tasks
        """,
        {"tasks": config.tasks, "writer": writer},
    ).fetchall()
    if not rows:
        raise ValueError(
            "the bench split has no task: run the generate stage first, with more frames or a larger bench share"
        )
    return [
        Item(pair_id, Frame(frame_id, Path(path), format_, width, height), task, solution, written)
        for pair_id, task, solution, written, frame_id, path, format_, width, height in rows
    ]


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
