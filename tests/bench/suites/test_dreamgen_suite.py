"""The benchmark DreamGen through generation, judging and the page: registered pictures become items by their names."""

import shutil
from pathlib import Path

import pytest

from tests.bench.suites.clips import picture
from tests.bench.tiny import FadeGenerator, ScriptedJudge
from wmsd_core import store
from wmsd_core.bench.benchmark import named
from wmsd_core.bench.breakdown import breakdowns
from wmsd_core.bench.evaluation import EvaluateConfig, Evaluation, items_of
from wmsd_core.bench.generation import generate_videos
from wmsd_core.bench.judging import Judged, judge_videos
from wmsd_core.bench.missing import Generated
from wmsd_core.bench.report import write_report
from wmsd_core.bench.scores import count_verdicts, outcomes
from wmsd_core.frames.register import FramesConfig, register
from wmsd_core.vlm import LogOdds

TEXTS = {"gr1_object": "Lift the cup.", "gr1_behavior": "Fold the cloth", "gr1_env": "Push the gate"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    for seed, (subset, text) in enumerate(TEXTS.items()):
        picture(tmp_path / "pictures" / subset / f"0_{text.replace(' ', '_')}.png", seed)
    known = tmp_path / "pictures" / "gr1_object" / "0_Lift_the_cup..png"
    shutil.copy(known, known.with_name("1_Lift_the_cup_with_the_left_hand..png"))  # one picture, two items
    picture(tmp_path / "pictures" / "holiday" / "0_Not_of_it.png", 9)
    register(tmp_path / "wmsd.duckdb", tmp_path / "pictures", FramesConfig())
    return tmp_path / "wmsd.duckdb"


def test_items_are_the_pictures_of_the_three_folders(path: Path) -> None:
    with store.reading(path) as con:
        items = items_of(con, EvaluateConfig(benchmark="dreamgen"))
        assert [item.task for item in items] == [
            "Lift the cup.",
            "Lift the cup with the left hand.",
            "Fold the cloth",
            "Push the gate",
        ]
        assert items[0].frame == items[1].frame
        assert items_of(con, EvaluateConfig(benchmark="dreamgen-zero-shot")) == items
        assert items_of(con, EvaluateConfig(benchmark="dreamgen", tasks=2)) == items[:2]


def test_zero_shot_and_trained_are_asked_apart_about_the_same_videos(path: Path) -> None:
    judge = ScriptedJudge(lambda question, video: LogOdds(1.0 if "human hand" not in question.text else -1.0))
    found: dict[str, float | None] = {}
    for benchmark in ("dreamgen", "dreamgen-zero-shot"):
        config = EvaluateConfig(benchmark=benchmark, steps=2, arms=("base", "demonstrator"))
        evaluation = Evaluation(config=config, model="fade-weights", adapter="", judge="script")
        made = generate_videos(path, path.parent / "videos", FadeGenerator(), evaluation)
        # the second asks of the same files, and what the first has asked about physics is not asked again
        assert made == Generated(4, 0, 4) if benchmark == "dreamgen" else Generated(0, 4, 4)
        assert judge_videos(path, judge, evaluation) == Judged(8 if benchmark == "dreamgen" else 4, 0)
        count_verdicts(path, evaluation)
        with store.reading(path) as con:
            by_arm = outcomes(con, evaluation)
            found[benchmark] = by_arm["base"][0].points("instruction")
            shown = breakdowns(con, named(benchmark), by_arm)
        assert [b.title for b in shown] == ["Instruction by subset", "Physics by subset"]
        assert {category.name: category.items for category in shown[0].categories} == {
            "object": 2,
            "behavior": 1,
            "environment": 1,
        }
        page = path.parent / "report.html"
        write_report(path, page, evaluation=evaluation)
        text = page.read_text(encoding="utf-8")
        assert "<th>Environment</th>" in text
        assert ("LTX-2 + WMSD" in text) == (benchmark == "dreamgen")
        assert "The published benchmark has 126 items; these are 4" in text
    assert found == {"dreamgen": 1, "dreamgen-zero-shot": 0}


def test_without_its_pictures_it_says_where_they_have_to_lie(tmp_path: Path) -> None:
    picture(tmp_path / "pictures" / "0_Alone.png", 1)
    register(tmp_path / "wmsd.duckdb", tmp_path / "pictures", FramesConfig())
    with store.reading(tmp_path / "wmsd.duckdb") as con, pytest.raises(ValueError, match="gr1_object, gr1_behavior"):
        items_of(con, EvaluateConfig(benchmark="dreamgen"))
