"""A study's file, its results, and what is made of them: no run is needed for any of it."""

import math
from pathlib import Path

import numpy as np
import pytest

from deployments import recipes
from wmsd_core.bench import statistics
from wmsd_core.studies import analysis, published
from wmsd_core.studies.page import costs, rewrite, told
from wmsd_core.studies.results import BoardLine, Line, MeasurementLine, Results, RunLine, load, rollouts, save
from wmsd_core.studies.study import Board, Study, planned, read
from wmsd_core.training.arms import TrainingArm
from wmsd_core.training.config import RecallConfig, TrainConfig

TEXT = """
title: Small
recipe: miniature
seeds: [3, 4]
every: 10
settings: {train.steps: 25}
reference: demonstrator
arms:
  demonstrator: {role: demonstrator, published: [figure 5/demonstrator]}
  full: {settings: {train.arm: full}, prediction: above the Demonstrator, published: [figure 5/on_policy_rl]}
  rl: {settings: {train.arm: rl, train.optimizer.learning_rate: 1e-3}, seeds: 1, published: [figure 5/rl_only]}
"""
RECIPE = recipes.named("miniature")
PICTURES, ITEMS = 12, 48


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(TEXT)
    return path


@pytest.fixture
def study(file: Path) -> Study:
    return read(file)


def board(name: Board) -> BoardLine:
    return BoardLine(
        board=name,
        benchmark=f"worldtasks-{name}",
        items=[f"{item:016x}" for item in range(ITEMS)],
        pictures=[item % PICTURES for item in range(ITEMS)],
        model="base",
        judge="judge",
        questions={"task": "a", "agent": "b", "consistency": "c"},
        noise=0,
    )


def measured(study: Study, quality: dict[str, float]) -> Results:
    """Verdicts that are right so often, by arm."""
    draw, lines = np.random.default_rng(0), list[Line]([board("selection"), board("test")])
    for run in planned(study, RECIPE):
        lines.append(RunLine(arm=run.arm, seed=run.seed, key=run.key, rollouts=9, forwards=99, cpu_seconds=36.0))
        for half, config in run.evaluations:
            verdicts = {
                name: "".join("01"[int(draw.random() < quality[run.arm])] for _ in range(ITEMS))
                for name in ("task", "agent", "consistency")
            }
            step = config.at_step or 0
            sampler = run.recipe.evaluate.sampler
            lines.append(
                MeasurementLine(arm=run.arm, seed=run.seed, step=step, board=half, sampler=sampler, verdicts=verdicts)
            )
    return Results().having(lines)


def test_every_run_is_planned_with_its_settings_its_steps_and_both_halves(study: Study) -> None:
    runs = planned(study, RECIPE)
    assert [(run.arm, run.seed) for run in runs] == [("demonstrator", None), ("full", 3), ("rl", 3), ("full", 4)]
    full, rl = runs[1], runs[2]
    train = full.recipe.train
    assert (train.seed, train.steps, train.keep_every, train.arm) == (3, 25, 10, "full")
    assert (rl.recipe.train.arm, rl.recipe.train.optimizer.learning_rate) == ("rl", 1e-3)
    assert [(half, config.at_step, config.arms) for half, config in full.evaluations] == [
        *(("selection", step, ("executor",)) for step in (10, 20, 25)),
        ("test", 25, ("executor",)),
    ], "the test half is measured once"
    assert [(half, config.at_step) for half, config in runs[0].evaluations] == [("selection", None), ("test", None)]
    assert len({run.key for run in runs}) == 4
    changed = planned(study.model_copy(update={"settings": {"train.steps": 26}}), RECIPE)
    assert runs[0].key == changed[0].key and full.key != changed[1].key


def test_a_setting_that_came_later_leaves_what_a_study_has_found_at_the_value_of_before(study: Study) -> None:
    def keys(**settings: object) -> list[str]:
        changed = study.model_copy(update={"settings": study.settings | settings})
        return [run.key for run in planned(changed, RECIPE)]

    assert keys(**{"train.vet_demonstrator": False}) == keys()
    frozen, *trained = zip(keys(**{"train.vet_demonstrator": True}), keys(), strict=True)
    assert frozen[0] == frozen[1] and all(now != before for now, before in trained)


def test_a_study_to_choose_by_leaves_the_test_half_alone(file: Path) -> None:
    file.write_text(TEXT + "test: 0\n")
    study = read(file)
    plan, place = planned(study, RECIPE), file.with_suffix(".jsonl")
    assert {half for run in plan for half, _ in run.evaluations} == {"selection"}
    results = measured(study, {"demonstrator": 0.5, "full": 0.9, "rl": 0.5}).only(plan)[0]
    assert set(results.boards) == {"selection"}
    save(place, results)
    rewrite(study, plan, place)
    page, table = (file.with_suffix(end).read_text() for end in (".html", ".md"))
    full = next(one.pooled for one in analysis.finals(study, results) if one.arm == "full")
    assert full.score and full.score > 0.8 and f"{100 * full.score:.1f}" in page
    assert "Selection half, last step" in table and "has yet to be measured on the other half" in page


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "train.steps: 25",
            "train.stpes: 25",
            "arm 'demonstrator': there is no setting 'train.stpes'; did you mean 'train.steps'",
        ),
        ("figure 5/rl_only", "figure 9/rl", "there is no published curve 'figure 9/rl'; there are figure 4/off_policy"),
        (
            "train.arm: rl,",
            "evaluate.seed: 7,",
            "arms.rl: Value error, evaluate.seed is the same for all arms: set it for the study, or in a study of its own",
        ),
        ("train.arm: rl,", "render.n: 7,", "render.n is the same for all arms"),
        ("train.arm: rl,", "train.seed: 7,", "train.seed has no effect among settings: seeds of the study decides it"),
        (
            "{train.steps: 25}",
            "{train.steps: 25, evaluate.tasks: 9}",
            "evaluate.tasks has no effect among settings: selection and test of the study decides it",
        ),
        ("reference: demonstrator", "reference: demo", "there is no arm 'demo'; the arms are demonstrator, full, rl"),
        ("[3, 4]", "[3, 3]", "no seed twice"),
        ("title: Small", "titel: Small", "title: Field required"),
        ("arms:", "arms: [", "cannot be read as a study"),
    ],
)
def test_a_mistake_in_the_file_is_told_with_its_cure(file: Path, old: str, new: str, message: str) -> None:
    file.write_text(TEXT.replace(old, new))
    with pytest.raises(ValueError) as told:
        planned(read(file), RECIPE)
    assert message in str(told.value)


def test_results_come_back_from_their_file_and_stale_ones_are_left_out(study: Study, tmp_path: Path) -> None:
    results = measured(study, {"demonstrator": 0.7, "full": 0.8, "rl": 0.6})
    save(tmp_path / "r.jsonl", results)
    back = load(tmp_path / "r.jsonl")
    assert back == results and back.only(planned(study, RECIPE)) == (results.only(planned(study, RECIPE))[0], [])
    fewer = study.model_copy(update={"seeds": (3,)})
    assert back.only(planned(fewer, RECIPE))[1] == ["full, seed 4"]
    other = study.model_copy(update={"settings": {"train.steps": 20}})
    kept, stale = back.only(planned(other, RECIPE))
    assert len(stale) == 3 and {line.arm for line in kept.measurements} == {"demonstrator"}
    larger = study.model_copy(update={"test": 48})
    assert back.only(planned(larger, RECIPE))[0] == Results(), (
        "other items: the boards of before do not stand in the way"
    )
    (tmp_path / "r.jsonl").write_text('{"kind": "run", "arm"\n')
    with pytest.raises(ValueError, match="line 1, is no line of results"):
        load(tmp_path / "r.jsonl")
    moved = board("test").model_copy(update={"judge": "another"})
    with pytest.raises(ValueError, match=r"the test half is another one .*judge differ"):
        results.having([moved])


def test_an_arm_may_be_sampled_in_its_own_number_of_steps(file: Path) -> None:
    file.write_text(TEXT.replace("train.arm: rl,", "train.arm: rl, evaluate.steps: 2,"))
    study = read(file)
    results = measured(study, {"demonstrator": 0.7, "full": 0.8, "rl": 0.6})
    assert {cost.arm: cost.sampler for cost in costs(study, results)} == {"full": "euler/4", "rl": "euler/2"}


def test_a_run_is_whole_with_all_its_measurements_and_its_own_settings(study: Study) -> None:
    plan = planned(study, RECIPE)
    results = measured(study, {"demonstrator": 0.7, "full": 0.8, "rl": 0.6})
    assert all(results.whole(run) for run in plan) and not any(Results().whole(run) for run in plan)
    lacking = Results(results.boards, results.runs, results.measurements[:-1])
    last = results.measurements[-1]
    assert [run.arm for run in plan if not lacking.whole(run)] == [last.arm]
    runs = tuple(
        line.model_copy(update={"failed": "why"}) if (line.arm, line.seed) == ("full", 4) else line
        for line in results.runs
    )
    failed = Results(results.boards, runs, results.measurements)
    assert [failed.whole(run) for run in plan] == [True, True, True, False]
    changed = planned(study.model_copy(update={"settings": study.settings | {"train.rl_weight": 0.5}}), RECIPE)
    assert [results.whole(run) for run in changed] == [True, False, False, False], "the frozen base is as it was"


def test_curves_and_finals_are_those_of_the_verdicts(study: Study) -> None:
    results = measured(study, {"demonstrator": 0.7, "full": 0.8, "rl": 0.6})
    points = analysis.curve(results, "full", "task")
    assert [(point.step, point.seeds) for point in points] == [(10, 2), (20, 2), (25, 2)]
    shares = {
        line.seed: line.verdicts["task"].count("1") / ITEMS
        for line in results.measurements
        if (line.arm, line.step, line.board) == ("full", 20, "selection")
    }
    assert points[1].mean == pytest.approx(sum(shares.values()) / 2)
    assert (points[1].least, points[1].most) == (min(shares.values()), max(shares.values()))
    final = next(one for one in analysis.finals(study, results) if (one.arm, one.measure) == ("full", "average"))
    assert final.pooled.valid == 2 * ITEMS and final.pooled.pictures == PICTURES
    assert final.pooled.score == pytest.approx(sum(final.by_seed.values()) / 2)


def test_differences_are_paired_by_seed_and_corrected_over_arms(study: Study) -> None:
    results = measured(study, {"demonstrator": 0.5, "full": 0.9, "rl": 0.5})
    found = {(one.arm, one.measure): one for one in analysis.contrasts(study, results)}
    full, rl = found["full", "average"], found["rl", "average"]
    assert set(full.within) == {3, 4} and full.difference == pytest.approx(
        sum(one.difference for one in full.within.values()) / 2
    )
    assert full.p is not None and full.p_holm == pytest.approx(full.p), "rl has one seed, and no test over seeds"
    assert (rl.low, rl.p, rl.p_holm) == (None, None, None) and told(rl).endswith("for this run")
    assert min(one.p for one in full.within.values()) < 0.01


def test_the_variance_over_seeds_and_pictures_is_right_for_known_effects() -> None:
    """Effects of seeds, of pictures and of each item, of known size: estimates against what the mean really differs by."""
    draw, seeds, pictures = np.random.default_rng(1), 5, 40
    means, variances = list[float](), list[float]()
    for _ in range(2000):
        effects = (
            draw.normal(0, 0.05, (seeds, 1))
            + draw.normal(0, 0.2, (1, pictures))
            + draw.normal(0, 0.3, (seeds, pictures))
        )
        means.append(float(effects.mean()))
        variances.append(analysis.crossed_variance(effects, np.ones_like(effects)))
    true = 0.05**2 / seeds + 0.2**2 / pictures + 0.3**2 / (seeds * pictures)
    assert np.var(means) == pytest.approx(true, rel=0.1)
    assert np.mean(variances) == pytest.approx(true, rel=0.1)
    half = statistics.t_quantile(seeds - 1) * np.sqrt(variances)
    assert np.mean(np.abs(means) > half) < 0.05


def test_the_order_of_the_paper_is_confirmed_contradicted_or_left_open(study: Study) -> None:
    arms = {name: arm.model_copy(update={"seeds": None}) for name, arm in study.arms.items()}
    five = study.model_copy(update={"arms": arms, "seeds": (1, 2, 3, 4, 5)})

    def verdicts(quality: dict[str, float]) -> dict[tuple[str, str, str], str]:
        found = analysis.orders(five, measured(five, quality))
        return {(one.arm, one.against, one.measure): one.verdict for one in found}

    agreeing = verdicts({"demonstrator": 0.5, "full": 0.99, "rl": 0.01})
    assert agreeing["full", "rl", "task"] == "as published"
    assert agreeing["demonstrator", "rl", "consistency"] == "the other way", "the paper's RL is more consistent"
    assert ("full", "rl", "average") not in agreeing, "figure 5 shows no average"
    assert verdicts({"demonstrator": 0.5, "full": 0.7, "rl": 0.7})["full", "rl", "task"] == "open"


def test_page_and_table_are_made_from_the_results_alone(file: Path, study: Study) -> None:
    plan, place = planned(study, RECIPE), file.with_suffix(".jsonl")
    with pytest.raises(ValueError, match="no results of this study: there are none"):
        rewrite(study, plan, place)
    full = measured(study, {"demonstrator": 0.7, "full": 0.8, "rl": 0.6})
    save(place, full.having([RunLine(arm="full", seed=4, key=plan[3].key, failed="the gradient <b>is</b> not finite")]))
    rewrite(study, plan, place)
    page, table = (file.with_suffix(end).read_text() for end in (".html", ".md"))
    score = next(one.pooled.score for one in analysis.finals(study, load(place)) if one.arm == "full")
    assert f"{100 * (score or math.nan):.1f}" in page and f"{100 * (score or math.nan):.1f}" in table
    assert "Published: figure 5" in page and "above the Demonstrator" in page and "<b>is</b>" not in page
    assert page.count("<svg") == 4, "two trained arms, each beside the paper's"
    assert "nan" not in table and "None" not in page
    with pytest.raises(ValueError, match="are of other settings"):
        rewrite(study, planned(study.model_copy(update={"test": 7}), RECIPE), place)


def test_published_curves_are_shares() -> None:
    points = [
        y
        for figure in published.figures().values()
        for curve in figure.values()
        for line in curve.values()
        for _, y in line
    ]
    assert len(points) > 100 and all(0 < y < 1 for y in points)


@pytest.mark.parametrize(
    ("arm", "steps", "expected"), [("full", 9, 5 * 6), ("rl", 9, 9 * 6), ("full", 3, 0), ("sft", 9, 0)]
)
def test_a_warm_up_has_no_rollouts_and_recordings_need_none(arm: TrainingArm, steps: int, expected: int) -> None:
    recall = RecallConfig(tasks=1, warm_up=4)
    assert rollouts(TrainConfig(arm=arm, steps=steps, tasks_per_step=3, group_size=2, recall=recall)) == expected
