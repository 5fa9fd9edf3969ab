"""A second benchmark is this file: it is registered from outside, and runs through flow and report beside the first."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest

from flows.evaluate import evaluate
from flows.report import report
from tests.bench.synthetic import build
from tests.bench.test_clips import film
from tests.bench.tiny import ScriptedJudge
from wmsd_core import store
from wmsd_core.bench.benchmark import Arm, Benchmark, Criterion, Item, Published, named
from wmsd_core.bench.evaluation import EvaluateConfig
from wmsd_core.bench.suites.worldtasks import worldtasks
from wmsd_core.models import ModelsConfig
from wmsd_core.vlm import LogOdds, Question
from wmsd_core.workspace import Workspace

pytestmark = pytest.mark.usefixtures("server")

MODELS = ModelsConfig(generator="tests.bench.tiny:FadeGenerator", judge=f"{__name__}:judge")


def stillness() -> Benchmark:
    """Which pictures begin to move though nobody asked for it? Two questions, of which one is fulfilled by a no."""
    return Benchmark(
        name="stillness",
        title="Stillness",
        source="a test",
        licence="CC0",
        criteria=(
            Criterion(
                "still", "Still", "nothing moves", Question("stillness_still", "1", "Does {task} move?", good="no")
            ),
            Criterion("same", "Same", "it is the same place", Question("stillness_same", "1", "Is it the same place?")),
        ),
        items=_pictures,
        absent="register some frames first",
        expected=50,
        text=_text,
        published=Published("A table of ours", {"nobody's model": {"still": 0.123, "average": 0.456}}),
    )


def _pictures(con: duckdb.DuckDBPyConnection, most: int) -> Sequence[Item]:
    return [
        replace(item, item_id=f"still {item.item_id}", task="the picture") for item in worldtasks().items(con, most)
    ]


def _text(item: Item, arm: Arm) -> str:
    return f"Keep {item.task} still." if arm == "base" else ""


def judge() -> ScriptedJudge:
    return ScriptedJudge(lambda question, video: LogOdds(1.0 if question.good == "no" else -1.0), name="test judge")


def test_a_second_benchmark_is_one_file_and_hides_nothing(tmp_path: Path) -> None:
    build(tmp_path, frames=24, tasks=8)
    first = _scores(tmp_path, "worldtasks")
    config = EvaluateConfig(benchmark=f"{__name__}:stillness", tasks=6, steps=2, batch=4, arms=("base", "demonstrator"))
    summary = evaluate(tmp_path, config, models=MODELS)
    assert summary["averages"] == {"base": 0.5, "demonstrator": None}  # which has no text, and so no video
    assert summary["videos"]["demonstrator"] == {"made": 0, "found": 0, "skipped": 6}
    found = {(row["arm"], row["criterion"]): row["score"] for row in _scores(tmp_path, "stillness")}
    assert found["base", "still"] == 1 and found["base", "same"] == 0
    assert _scores(tmp_path, "worldtasks") == first != []
    with store.reading(Workspace(tmp_path).store) as con:
        for table, rows in (("videos", 6), ("judgments", 12), ("stage_runs", 1)):
            assert len(store.query(con, f"SELECT 1 FROM {table} WHERE benchmark = 'stillness'")) == rows
            assert store.query(con, f"SELECT 1 FROM {table} WHERE benchmark = 'worldtasks'")

    report(tmp_path)
    page = Workspace(tmp_path).report.read_text(encoding="utf-8")
    for text in ("WorldTasks-Bench", "Stillness", "nothing moves", "A table of ours", "The published benchmark has 50"):
        assert text in page
    again = evaluate(tmp_path, config, models=MODELS)
    assert (again["videos"]["base"]["made"], again["judged"]["asked"]) == (0, 0)


def _scores(workspace: Path, benchmark: str) -> list[dict[str, object]]:
    with store.reading(Workspace(workspace).store) as con:
        return store.query(con, "SELECT * FROM evaluations WHERE benchmark = ? ORDER BY ALL", [benchmark])


def test_a_benchmark_whose_package_is_gone_hides_no_other(tmp_path: Path) -> None:
    path = build(tmp_path, frames=24, tasks=8)
    with store.writing(path) as con:
        con.execute(
            """
            INSERT INTO stage_runs SELECT * REPLACE ('gone' AS benchmark, replace(
                summary::VARCHAR, '"benchmark": "worldtasks"', '"benchmark": "no.such:suite"')::JSON AS summary)
            FROM stage_runs WHERE stage = 'evaluate'
            """
        )
    report(tmp_path)
    page = Workspace(tmp_path).report.read_text(encoding="utf-8")
    assert "Scores on no.such:suite are in the store, but cannot be shown" in page
    assert "held-out tasks the Executor scores" in page


def test_an_unknown_benchmark_says_which_there_are() -> None:
    with pytest.raises(ValueError, match="no benchmark named 'wordltasks': choose from worldtasks"):
        named("wordltasks")
    with pytest.raises(ValueError, match="its factory must return a Benchmark"):
        named(f"{__name__}:judge")


@pytest.mark.parametrize("criteria", [(), ("task", "task"), ("average",)])
def test_criteria_have_names_of_their_own(criteria: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="names of their own"):
        replace(worldtasks(), criteria=tuple(replace(worldtasks().criteria[0], name=name) for name in criteria))


def test_clips_from_elsewhere_run_through_the_same_flow_and_without_a_generator(tmp_path: Path) -> None:
    build(tmp_path, until="generate", frames=24)
    with store.reading(Workspace(tmp_path).store) as con:
        items = worldtasks().items(con, 3)
    film(tmp_path / "clips" / f"{items[0].item_id}.mp4")
    config = EvaluateConfig(tasks=3, arms=(), videos={"veo": str(tmp_path / "clips")})
    summary = evaluate(tmp_path, config, models=ModelsConfig(generator="no.such:generator", judge=MODELS.judge))
    assert summary["videos"]["veo"]["found"] == 1 and summary["videos"]["veo"]["missing"] == 2
    assert summary["judged"]["asked"] == 3 and summary["controls"]["asked"] > 0
    assert summary["failure_rate"] == pytest.approx(2 / 3)
