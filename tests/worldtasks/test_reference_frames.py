"""The twelve published frames through the whole stage, with a scripted model at its edge: each frame ends where it should."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.frames.pictures import left
from tests.reference import REFERENCE
from wmsd_core.arrays import Image, Video
from wmsd_core.filters import FilterConfig, MeasureConfig, decide, measure_frames
from wmsd_core.frames import FramesConfig, find, register
from wmsd_core.frames.view import view
from wmsd_core.ranking import RankConfig, keep_top, score_frames
from wmsd_core.store import query, reading
from wmsd_core.vlm import LogOdds, Message, Question
from wmsd_core.vlm.protocol import Answer
from wmsd_core.worldtasks import (
    GenerateConfig,
    LabelConfig,
    ScreenConfig,
    SelectConfig,
    generate_pairs,
    keep_pairs,
    keep_suitable,
    label_by_model,
    label_tasks,
    screen_frames,
    verify_pairs,
)
from wmsd_core.worldtasks.agreement import agreements
from wmsd_core.worldtasks.generation import generation
from wmsd_core.worldtasks.labelling import TaskLabels
from wmsd_core.worldtasks.overview import overview

pytestmark = pytest.mark.skipif(not REFERENCE.is_dir(), reason="the published frames are not at hand")

UNSUITABLE, UNREAD, REFUSED, UNANSWERED = "000048.jpg", "000094.jpg", "000104.jpg", "000123.jpg"
ABSENT = "[Black minivan]"
GENERATE = GenerateConfig(min_solution_words=20, wishes=2)
SELECT = SelectConfig(min_agent_log_odds=0.0, min_open_log_odds=0.0)


class Published:
    """Knows the frames by their pixels, as a model sees them, and writes the published pairs and one without form."""

    name = "published/1"
    concurrency = 4

    def __init__(self, names: dict[str, str]) -> None:
        self.names = names
        samples = json.loads((REFERENCE / "worldtasks_samples.json").read_text())
        self.pairs: dict[str, list[dict[str, str]]] = {
            Path(sample["frame"]).name: sample["pairs"] for sample in samples["dataset_samples"]
        }
        for sample in samples["benchmark_samples"]:
            # The benchmark's solutions are not published; this one stands in.
            solution = (
                "The player turns slowly, walks forward over the ground with steady steps past what lies in between, slows "
                "down and comes to rest where the goal is, holding still with the eyes on it."
            )
            self.pairs[Path(sample["frame"]).name] = [{"task": sample["task"], "solution": solution}]

    def frame(self, image: Image) -> str:
        return self.names[hashlib.sha256(image.tobytes()).hexdigest()]

    def complete(self, messages: Sequence[Message], schema: type[Answer], *, seed: int) -> Answer:
        text = messages[-1].text
        if schema is TaskLabels:
            tasks = [line for line in text.splitlines() if "]: " in line and line[0].isdigit()]
            kinds = {"agent_type": "human", "task_type": "navigation"}
            return schema.model_validate({"labels": [{"number": n + 1, **kinds} for n in range(len(tasks))]})
        assert "let at least one task be of each of these kinds" in text
        frame = self.frame(messages[-1].images[0])
        if frame == UNANSWERED:
            raise ValueError("the answer was cut off by the limit of tokens")
        if frame == REFUSED:
            return schema.model_validate({"refused": True, "reason": "a figure on its knees", "pairs": []})
        return schema.model_validate({"pairs": [*self.pairs[frame], {"task": "Have fun.", "solution": "They do."}]})

    def log_odds(self, questions: Sequence[Question], media: Sequence[Image | Video]) -> list[LogOdds]:
        return [self._believe(q, self.frame(medium)) for q, medium in zip(questions, media, strict=True)]

    def _believe(self, question: Question, frame: str) -> LogOdds:
        if question.name == "screen" and frame == UNREAD:
            return LogOdds.unread("neither yes nor no among the first token's candidates")
        if question.name == "screen":
            return LogOdds(-4.0 if frame == UNSUITABLE else 6.0)
        return LogOdds(-1.5 if question.name == "verify_agent" and ABSENT.strip("[]") in question.text else 3.0)


def test_twelve_frames_end_where_they_should(tmp_path: Path) -> None:
    store = tmp_path / "store.duckdb"
    register(store, REFERENCE / "frames", FramesConfig())
    ids = left(store, "frames")
    assert len(ids) == 12
    measure_frames(store, ids, MeasureConfig())
    assert decide(store, MeasureConfig(), FilterConfig()).kept == 12
    ranking = RankConfig(keep_fraction=1.0)
    score_frames(store, ids, ranking.aesthetic)
    assert keep_top(store, MeasureConfig(), ranking).kept == 12

    with reading(store) as con:
        frames = find(con, ids)
    vlm = Published({hashlib.sha256(view(frame).tobytes()).hexdigest(): frame.path.name for frame in frames})
    assert screen_frames(store, ids, vlm, concurrency=vlm.concurrency).unread == 1
    assert keep_suitable(store, vlm.name, ScreenConfig()).kept == 10

    ids = left(store, "screen")
    generate_pairs(store, ids, vlm, GENERATE, concurrency=vlm.concurrency)
    label_tasks(store)
    label_by_model(store, ids, vlm, LabelConfig(ask=True), concurrency=vlm.concurrency)
    verify_pairs(store, ids, vlm, SELECT.questions(), concurrency=vlm.concurrency)
    kept = keep_pairs(store, vlm.name, SELECT)
    with reading(store) as con:
        found = overview(con, generation(vlm.name, GENERATE))
        fates = query(con, "SELECT path, reason, item FROM rejections ORDER BY path")
        published = query(
            con, "SELECT task, solution FROM task_pairs JOIN frames USING (frame_id) WHERE path LIKE '%png'"
        )
        kappas = agreements(con)

    # Eight published pairs and four of the benchmark's tasks are written; of each of the eight frames, one has no form.
    assert (found.with_pairs, found.refused, found.unanswered, found.pairs, found.rejected) == (
        8,
        1,
        1,
        12,
        {"form": 8},
    )
    assert (kept.kept, kept.dropped, kept.frames_without) == (11, {"agent_absent": 1}, 0)
    given = [pair for frame, pairs in vlm.pairs.items() if frame.endswith("png") for pair in pairs]
    assert sorted(map(str, published)) == sorted(map(str, given)) and len(given) == 8
    assert {(Path(row["path"]).name, row["reason"]) for row in fates} == {
        (UNSUITABLE, "unsuitable"),
        (UNREAD, "unread"),
        (REFUSED, "refused"),
        (UNANSWERED, "unanswered"),
        ("7637_6.png", "agent_absent"),
    }
    assert {kappa.pairs for kappa in kappas} == {12}


def test_a_second_run_asks_about_the_unread_and_the_unanswered_only(tmp_path: Path) -> None:
    """What the first test's run leaves open is exactly what another run asks."""
    store = tmp_path / "store.duckdb"
    register(store, REFERENCE / "frames", FramesConfig())
    ids = left(store, "frames")
    with reading(store) as con:
        frames = find(con, ids)
    vlm = Published({hashlib.sha256(view(frame).tobytes()).hexdigest(): frame.path.name for frame in frames})
    screen_frames(store, ids, vlm)
    first = generate_pairs(store, ids, vlm, GENERATE)
    assert (first.frames, first.refused, first.unanswered) == (10, 1, 1)
    assert screen_frames(store, ids, vlm).before == 11
    again = generate_pairs(store, ids, vlm, GENERATE)
    assert (again.before, again.unanswered) == (11, 1)
