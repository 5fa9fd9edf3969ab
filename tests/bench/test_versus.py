"""Two runs against each other, and scores in the forms that others read."""

import csv
import json
from pathlib import Path

import pytest

from tests.bench.synthetic import EVALUATION, build
from wmsd_core import store
from wmsd_core.bench.comparison import compare as of_arms
from wmsd_core.bench.evaluation import EvaluateConfig, Evaluation
from wmsd_core.bench.publishing import publish
from wmsd_core.bench.run import EvaluationRun, PictureScores, load
from wmsd_core.bench.scores import count_verdicts, outcomes
from wmsd_core.bench.versus import versus

CONFIG = EvaluateConfig(tasks=24)
FULL = EVALUATION.model_copy(update={"config": CONFIG})


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("runs"))


def counted(path: Path, evaluation: Evaluation) -> EvaluationRun:
    name = count_verdicts(path, evaluation).evaluation_id
    with store.reading(path) as con:
        return load(con, name)


def only(arm: str, other: Evaluation = FULL) -> Evaluation:
    return other.model_copy(update={"config": other.config.model_copy(update={"arms": (arm,)})})


def test_two_runs_give_what_two_arms_of_one_give(path: Path):
    base, executor = counted(path, only("base")), counted(path, only("executor"))
    found = versus(executor, base)
    assert found.unlike == [] and len(found.comparisons) == 5
    with store.reading(path) as con:
        by_arm = outcomes(con, FULL)
    for ours in found.comparisons:
        theirs = of_arms(by_arm["executor"], by_arm["base"], ours.measure)
        assert theirs is not None
        assert (ours.difference, ours.low, ours.p, ours.pairs) == (
            theirs.difference,
            theirs.low,
            theirs.p,
            theirs.pairs,
        )
    assert [c.difference for c in versus(base, executor).comparisons] == [-c.difference for c in found.comparisons]


def test_pickscore_is_subtracted_on_the_items_that_have_it_in_both_runs(path: Path):
    run = counted(path, FULL)

    def scored(values: list[float | None], scorer: str = "PickScore") -> EvaluationRun:
        scores = PictureScores(scorer=scorer, score=values, first=values)
        return changed(run, picture_scores={"executor": scores})

    count, shift = len(run.items), [0.5 + 0.1 * (n % 3) for n in range(len(run.items))]
    base: list[float | None] = [20.0 + n for n in range(count)]
    more: list[float | None] = [21 if n == 1 else 20.0 + n + shift[n] for n in range(count)]
    base[1] = None
    (found,) = versus(scored(more), scored(base)).pictures
    left = [value for n, value in enumerate(shift) if n != 1]
    assert (found.arm, found.against, found.pairs, found.dropped) == ("executor", "executor", count - 1, 1)
    assert found.mean == pytest.approx(sum(left) / len(left))
    assert found.interval.low < found.mean < found.interval.high
    assert found.pictures == len({picture for n, picture in enumerate(run.pictures) if n != 1})
    backwards = changed(scored(base), items=run.items[::-1], pictures=run.pictures[::-1])
    backwards.picture_scores["executor"].score.reverse()
    assert versus(scored(more), backwards).pictures[0].mean == pytest.approx(found.mean)
    assert versus(scored(more), scored(base, "another")).pictures == []


def changed(run: EvaluationRun, **update: object) -> EvaluationRun:
    return run.model_copy(update=update)


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ("items", "2 items are in one of them only"),
        ("judge", "the judge is .* and somebody else"),
        ("question", "the question text differs: task"),
        ("sampler", "the sampler is euler/8 and euler/4"),
        ("seed", "the seed of the noise is 0 and 7"),
        ("benchmark", "the benchmark is worldtasks and another"),
    ],
)
def test_runs_that_differ_in_more_than_their_videos_are_refused_with_the_difference(path: Path, what: str, told: str):
    one = counted(path, FULL)
    evaluation = one.evaluation
    other = {
        "items": lambda: changed(one, items=["x", *one.items[1:]]),
        "judge": lambda: changed(one, evaluation=evaluation.model_copy(update={"judge": "somebody else"})),
        "question": lambda: changed(one, questions=one.questions | {"task": "other words"}),
        "sampler": lambda: changed(one, evaluation=_configured(evaluation, steps=4)),
        "seed": lambda: changed(one, evaluation=_configured(evaluation, seed=7)),
        "benchmark": lambda: changed(one, benchmark="another"),
    }[what]()
    with pytest.raises(ValueError, match=rf"not comparable: {told}.*--anyway"):
        versus(one, other)
    found = versus(one, other, anyway=True)
    assert len(found.unlike) == 1
    assert all(c.difference == 0 for c in found.comparisons)
    assert {c.pairs + c.dropped for c in found.comparisons} == {len(one.items) - (what == "items")}


def _configured(evaluation: Evaluation, **update: object) -> Evaluation:
    return evaluation.model_copy(update={"config": evaluation.config.model_copy(update=update)})


def test_clips_from_elsewhere_have_no_sampler_to_differ_in(path: Path):
    one = counted(path, only("executor"))
    foreign = {"arms": (), "videos": {"veo": "somewhere"}, "steps": 3, "seed": 9}
    verdicts = {"veo": one.verdicts["executor"]}
    other = changed(one, evaluation=_configured(one.evaluation, **foreign), verdicts=verdicts)
    assert {(c.arm, c.against) for c in versus(other, one).comparisons} == {("veo", "executor")}


def test_clips_from_elsewhere_are_compared_with_every_arm_of_ours(path: Path):
    ours = counted(path, FULL)
    config = {"arms": (), "videos": {"veo": "somewhere"}}
    veo = changed(
        ours, evaluation=_configured(ours.evaluation, **config), verdicts={"veo": ours.verdicts["demonstrator"]}
    )
    found = versus(veo, ours)
    assert [(c.arm, c.against) for c in found.comparisons[::5]] == [("veo", arm) for arm in ours.verdicts]
    assert {c.difference for c in found.comparisons if c.against == "demonstrator"} == {0}
    assert [c.difference for c in versus(ours, veo).comparisons] == [-c.difference for c in found.comparisons]
    sora = changed(veo, verdicts={"sora": veo.verdicts["veo"], "kling": veo.verdicts["veo"]})
    with pytest.raises(ValueError, match=r"no arm is in both runs \(sora, kling; base, .*more than one each"):
        versus(sora, ours)


def test_a_run_is_named_by_the_beginning_of_its_id_or_by_its_file(path: Path, tmp_path: Path):
    run = counted(path, FULL)
    publish(run, run.evaluation.benchmark, tmp_path)
    with store.reading(path) as con:
        assert load(con, run.evaluation_id[:7]) == load(con) == load(con, str(tmp_path / "run.json")) == run
        with pytest.raises(ValueError, match=f"0 evaluations begin with 'nope'; the newest are {run.evaluation_id}"):
            load(con, "nope")
        with pytest.raises(ValueError, match="is no published run"):
            load(con, str(tmp_path / "none.json"))


def test_a_run_keeps_its_verdicts_when_the_store_moves_on(path: Path):
    run = counted(path, FULL)
    with store.writing(path) as con:
        con.execute("CREATE TEMP TABLE kept AS SELECT * FROM judgments")
        con.execute("DELETE FROM judgments")
        assert load(con, run.evaluation_id) == run
        con.execute("INSERT INTO judgments SELECT * FROM kept")


def test_what_is_published_takes_the_place_of_what_was_published_and_of_nothing_else(path: Path, tmp_path: Path):
    run, out = counted(path, FULL), tmp_path / "out"
    publish(run, run.evaluation.benchmark, out)
    other = counted(path, only("base"))
    assert len(publish(other, other.evaluation.benchmark, out)) == 4
    assert json.loads((out / "run.json").read_text())["evaluation_id"] == other.evaluation_id
    assert json.loads((out / "manifest.json").read_text())["evaluation"] == other.evaluation_id
    (tmp_path / "training").mkdir()
    for foreign in (out / "notes.txt", tmp_path / "training" / "run.json"):
        foreign.write_text("somebody's")
        with pytest.raises(ValueError, match=f"files that no export wrote, such as {foreign.name}"):
            publish(run, run.evaluation.benchmark, foreign.parent)
        assert foreign.read_text() == "somebody's"
    assert [file.name for file in (tmp_path / "training").iterdir()] == ["run.json"]
    assert json.loads((out / "run.json").read_text())["evaluation_id"] == other.evaluation_id


def test_what_verdicts_that_are_missing_could_make_of_a_score_is_published_beside_it(path: Path, tmp_path: Path):
    run = counted(path, FULL)
    whole = {
        arm: {name: [v is not False for v in found] for name, found in of.items()} for arm, of in run.verdicts.items()
    }
    publish(changed(run, verdicts=whole), run.evaluation.benchmark, tmp_path / "whole")
    items = len(run.items)
    thinned = {name: [None] * (items // 2) + found[items // 2 :] for name, found in run.verdicts["executor"].items()}
    publish(changed(run, verdicts=run.verdicts | {"executor": thinned}), run.evaluation.benchmark, tmp_path / "thinned")
    with (tmp_path / "thinned" / "scores.csv").open() as file:
        row = next(r for r in csv.DictReader(file) if (r["method"], r["measure"]) == ("Executor", "average"))
    low = 100 * float(row["successes"]) / items
    high = low + 100 * (items - int(row["valid"])) / items
    told = f"Executor: {items - int(row['valid'])} of {items} items lack a verdict; with theirs the average is "
    for form in ("scores.md", "scores.tex"):
        assert f"{told}something from {low:.1f} to {high:.1f}." in (tmp_path / "thinned" / form).read_text()
        assert "something from" not in (tmp_path / "whole" / form).read_text()


def test_scores_are_published_as_json_csv_markdown_and_latex_with_the_published_rows_marked(path: Path, tmp_path: Path):
    run = counted(path, FULL)
    publish(run, run.evaluation.benchmark, tmp_path)
    assert json.loads((tmp_path / "run.json").read_text())["evaluation_id"] == run.evaluation_id
    with store.reading(path) as con:
        stored = store.query(con, "SELECT * FROM evaluations WHERE evaluation_id = ?", [run.evaluation_id])
    rows = list(csv.DictReader((tmp_path / "scores.csv").open()))
    ours = {(row["method"].lower(), row["measure"]): row for row in rows if row["published"] == "False"}
    for row in stored:
        assert float(ours[row["arm"], row["criterion"]]["score"]) == row["score"]
    assert sum(row["published"] == "True" for row in rows) == 8 * len(run.evaluation.benchmark.measures)
    markdown = (tmp_path / "scores.md").read_text()
    assert "| LTX-2 (8-step) + WMSD † | 60.5 | 69.1 | 88.2 | 72.6 | -- |" in markdown
    executor = next(row for row in stored if (row["arm"], row["criterion"]) == ("executor", "task"))
    cell = f"{100 * executor['score']:.1f} [{100 * executor['low']:.1f}, {100 * executor['high']:.1f}]"
    assert f"| Executor | {cell} |" in markdown
    assert "seconds per video" not in markdown  # none was measured
    latex = (tmp_path / "scores.tex").read_text()
    assert r"LTX-2 (8-step) + WMSD$^\dagger$ & 60.5 & 69.1 & 88.2 & 72.6 \\" in latex
    assert latex.index("Executor &") < latex.index(r"\midrule", latex.index("Executor &")) < latex.index("HY1.5$")
    assert latex.count("{") == latex.count("}")
