"""The arm vlm: its texts are written at inference, from first frame and task alone."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.bench.synthetic import build
from tests.bench.tiny import FadeGenerator
from wmsd_core import store
from wmsd_core.bench.evaluation import EvaluateConfig, Evaluation, items_of
from wmsd_core.bench.generation import generate_videos
from wmsd_core.bench.missing import Generated
from wmsd_core.bench.scores import outcomes
from wmsd_core.bench.solving import Solution, Solved, write_solutions, writer_of
from wmsd_core.miniature import exam
from wmsd_core.miniature.planner_settings import PlannerConfig
from wmsd_core.miniature.vlm import MiniatureVLM
from wmsd_core.vlm import Message, prompts

CONFIG = EvaluateConfig(tasks=6, steps=2, batch=4, arms=("base", "vlm"))


class Writer:
    """Answers all tasks but those it is told to fail at."""

    name, concurrency = "writer/1", 2

    def __init__(self, fails: Sequence[str] = ()) -> None:
        self.fails, self.asked = fails, list[str]()

    def complete(self, messages: Sequence[Message], schema: type[Any], *, seed: int) -> Any:
        task = messages[-1].text.split("The task is:\n")[1].split("\n")[0]
        assert len(messages[-1].images) == 1 and messages[-1].images[0].ndim == 3
        self.asked.append(task)
        if task in self.fails:
            raise ValueError("no words for it")
        return schema.model_validate({"solution": f"written for {task}"})

    def log_odds(self, *_: Any) -> Any: ...


def test_what_was_written_is_what_the_generator_reads_and_what_was_not_is_no_failure(tmp_path: Path) -> None:
    path = build(tmp_path, until="generate", frames=24)
    with store.reading(path) as con:
        items = items_of(con, CONFIG)
    hard = items[2]
    first = Writer(fails=[hard.task])
    failing = sum(item.task == hard.task for item in items)
    assert write_solutions(path, first, CONFIG, concurrency=2) == Solved(6 - failing, 0, failing)
    assert sorted(first.asked) == sorted(item.task for item in items)

    evaluation = Evaluation(config=CONFIG, model="fade-weights", adapter="", judge="script", writer=writer_of(first))
    generator = FadeGenerator()
    made = generate_videos(path, tmp_path / "videos", generator, evaluation)
    assert made == Generated(made=12 - failing, found=0, skipped=failing)
    texts = [text for batch, _ in generator.batches for text in batch]
    assert {text for text in texts if text.startswith("written")} == {
        f"written for {item.task}" for item in items if item.task != hard.task
    }
    with store.reading(path) as con:
        known = outcomes(con, evaluation)["vlm"]
        reasons = store.query(con, "SELECT reason FROM written_solutions WHERE solution IS NULL")
    assert [not outcome.video for outcome in known] == [item.task == hard.task for item in items]
    assert {row["reason"] for row in reasons} == {"no words for it"}

    second = Writer()
    assert write_solutions(path, second, CONFIG) == Solved(failing, 6 - failing, 0)
    assert set(second.asked) == {hard.task}


def test_the_miniatures_model_solves_the_task_that_it_is_given() -> None:
    paper = exam.write(6, seed=2)
    vlm = MiniatureVLM(PlannerConfig(errors=0))
    for image, task, right in zip(paper.images, paper.texts["short"], paper.texts["clean"], strict=True):
        system, user = prompts.messages("solve", task=task)
        asked = (system, Message(user.role, user.text, (image,)))
        assert vlm.complete(asked, Solution, seed=0).solution == right
    blank = Message("user", user.text, (np.zeros((320, 320, 3), np.uint8),))
    with pytest.raises(ValueError, match="no way to do the task"):
        vlm.complete((blank,), Solution, seed=0)
