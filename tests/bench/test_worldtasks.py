import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.bench.synthetic import build
from tests.bench.tiny import FRAMES, FadeGenerator, ScriptedJudge
from wmsd_core import seeds, store
from wmsd_core.bench.benchmark import ARMS
from wmsd_core.bench.breakdown import breakdowns
from wmsd_core.bench.comparison import compare_arms
from wmsd_core.bench.evaluation import EvaluateConfig, Evaluation, items_of, video_id
from wmsd_core.bench.generation import generate_videos
from wmsd_core.bench.judging import Judged, judge_videos
from wmsd_core.bench.missing import Generated, all_there, missing_videos
from wmsd_core.bench.scores import count_verdicts, evaluation_id, outcomes, scores
from wmsd_core.bench.statistics import clopper_pearson
from wmsd_core.bench.suites.worldtasks import half_of
from wmsd_core.frames import clips
from wmsd_core.store.funnel import reject
from wmsd_core.vlm import LogOdds, prompts, stream

EVALUATION = Evaluation(
    config=EvaluateConfig(tasks=10, steps=2, batch=4), model="fade-weights", adapter="trained", judge="script"
)
MEASURES = EVALUATION.benchmark.measures
YES, NO = LogOdds(2.0), LogOdds(-1.5)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return build(tmp_path, until="generate", frames=24)


@pytest.fixture
def videos(path: Path) -> Path:
    return path.parent / "videos"


def rows(path: Path, sql: str) -> list[dict[str, object]]:
    with store.reading(path) as con:
        return store.query(con, sql)


def test_a_draw_is_the_start_of_every_larger_draw_and_of_the_bench_split_only(path: Path):
    with store.reading(path) as con:
        small, large = items_of(con, EvaluateConfig(tasks=5)), items_of(con, EvaluateConfig(tasks=9, seed=3))
        bench = {f for (f,) in con.execute("SELECT frame_id FROM splits WHERE split = 'bench'").fetchall()}
    assert small == large[:5]
    assert [item.item_id for item in large] == sorted(item.item_id for item in large)
    assert {item.frame.frame_id for item in large} <= bench


def test_two_halves_are_disjoint_by_picture_and_together_the_whole(path: Path):
    with store.reading(path) as con:
        whole, chosen, tested = (
            items_of(con, EvaluateConfig(benchmark=f"worldtasks{half}")) for half in ("", "-selection", "-test")
        )
        few = items_of(con, EvaluateConfig(benchmark="worldtasks-test", tasks=2))
    pictures = [{item.frame.frame_id for item in half} for half in (chosen, tested)]
    assert all(pictures) and not pictures[0] & pictures[1]
    assert sorted(item.item_id for item in (*chosen, *tested)) == [item.item_id for item in whole]
    assert few == tested[:2]
    shares = [half_of(f"{n:064x}") for n in range(2000)]
    assert 900 < shares.count("test") < 1100
    assert (half_of("0" * 64), half_of("3" * 64)) == ("test", "selection"), "where a picture belongs never changes"


def test_a_frame_that_was_rejected_since_leaves_the_draw(path: Path):
    with store.reading(path) as con:
        before = items_of(con, EvaluateConfig())
    gone = before[0].frame
    row = {"stage": "filter", "item": gone.frame_id, "reason": "dark", "detail": "", "path": "", "config_hash": ""}
    with store.writing(path) as con:
        reject(con, [row])
    with store.reading(path) as con:
        assert items_of(con, EvaluateConfig()) == [item for item in before if item.frame != gone]


def test_a_store_without_benchmark_tasks_says_what_to_do(tmp_path: Path):
    empty = build(tmp_path, until="filter", frames=5)
    with store.reading(empty) as con, pytest.raises(ValueError, match="generate stage"):
        items_of(con, EvaluateConfig())


def test_all_arms_start_from_the_same_noise_and_read_their_own_text(path: Path, videos: Path):
    generator = FadeGenerator()
    assert generate_videos(path, videos, generator, EVALUATION) == Generated(made=30, found=0, skipped=0)
    with store.reading(path) as con:
        items = items_of(con, EVALUATION.config)
    by_arm = [generator.batches[0:10], generator.batches[10:20], generator.batches[20:30]]  # every video alone
    seeds_of = [[seed for _, batch in batches for seed in batch] for batches in by_arm]
    assert seeds_of[0] == seeds_of[1] == seeds_of[2] == [seeds.derive(0, "eval", item.item_id) for item in items]
    texts_of = [[text for texts, _ in batches for text in texts] for batches in by_arm]
    assert texts_of[0] == texts_of[2] == [item.task for item in items]
    assert texts_of[1] == [item.solution for item in items]
    assert generator.adapters == [None] * 40 + ["ema"] * 20  # two steps each
    stored = {(r["item_id"], r["arm"]): r for r in rows(path, "SELECT * FROM videos")}
    assert {stored[item.item_id, arm]["seed"] for item in items[:1] for arm in ARMS} == {seeds_of[0][0]}
    assert {r["adapter"] for key, r in stored.items() if key[1] != "executor"} == {""}


def test_the_stored_file_returns_every_pixel(path: Path, videos: Path):
    generator = FadeGenerator()
    made: list[np.ndarray] = []
    decode = generator.decode
    generator.decode = lambda x_0: made.append(decode(x_0)) or made[-1]
    generate_videos(path, videos, generator, EVALUATION)
    with store.reading(path) as con:
        first = items_of(con, EVALUATION.config)[0]
        name = video_id(first, "base", EVALUATION)
    file = Path(str(rows(path, f"SELECT path FROM videos WHERE video_id = '{name}'")[0]["path"]))
    assert np.array_equal(clips.read(file), made[0][0])
    assert clips.read(file).shape == (FRAMES, 20, 20, 3)


@pytest.mark.parametrize("still", [(), (0, 1, 2, 3, 4, 5, 6), (2, 3, 4), (5, 6)])
def test_a_clip_keeps_its_frames_also_where_nothing_moves(tmp_path: Path, still: tuple[int, ...]):
    video = np.random.default_rng(0).integers(0, 256, (7, 6, 9, 3), dtype=np.uint8)
    for frame in still:
        video[frame] = video[still[0]]
    file, sha256 = clips.write(video, tmp_path)
    assert np.array_equal(clips.read(file), video)
    assert clips.intact(file, sha256)
    assert file.stem == sha256
    assert [f for f in tmp_path.rglob("*") if f.is_file()] == [file]


def test_a_second_run_makes_exactly_what_is_missing(path: Path, videos: Path):
    generate_videos(path, videos, FadeGenerator(), EVALUATION)
    files = sorted(videos.rglob("*.png"))
    before = {file: file.stat().st_mtime_ns for file in files}
    again = FadeGenerator()
    assert generate_videos(path, videos, again, EVALUATION) == Generated(0, 30, 0)
    assert again.batches == []
    assert all_there(path, EVALUATION) == Generated(0, 30, 0)  # said without a generator
    files[3].unlink()
    files[7].write_bytes(b"damaged")
    lost = {files[3], files[7]}
    assert all_there(path, EVALUATION) is None and missing_videos(path, EVALUATION) == 2
    assert generate_videos(path, videos, FadeGenerator(), EVALUATION) == Generated(2, 28, 0)
    assert sorted(videos.rglob("*.png")) == files  # the same pixels, so the same names
    assert all(file.stat().st_mtime_ns == time for file, time in before.items() if file not in lost)


def test_a_kill_loses_what_the_last_second_made(path: Path, videos: Path, monkeypatch: pytest.MonkeyPatch):
    generator = FadeGenerator()
    decode = generator.decode

    def killed(x_0):
        if len(generator.batches) == 9:
            raise KeyboardInterrupt
        return decode(x_0)

    generator.decode = killed
    monkeypatch.setattr(stream, "SECONDS", 0.0)
    with pytest.raises(KeyboardInterrupt):
        generate_videos(path, videos, generator, EVALUATION)
    assert len(rows(path, "SELECT * FROM videos")) == 8
    assert generate_videos(path, videos, FadeGenerator(), EVALUATION) == Generated(22, 8, 0)


def test_the_time_of_a_video_is_kept_by_part(path: Path, videos: Path):
    generate_videos(path, videos, FadeGenerator(), EVALUATION)
    judge_videos(path, ScriptedJudge(lambda question, video: YES), EVALUATION)
    for row in rows(path, "SELECT seconds FROM videos"):
        parts = json.loads(str(row["seconds"]))
        assert list(parts) == ["picture", "encoding", "sampling", "decoding", "file"]
        assert all(0 < seconds < 10 for seconds in parts.values())
    assert all(0 <= float(str(row["seconds"])) < 10 for row in rows(path, "SELECT seconds FROM judgments"))


def test_another_adapter_shares_base_and_demonstrator(path: Path, videos: Path):
    generate_videos(path, videos, FadeGenerator(), EVALUATION)
    other = EVALUATION.model_copy(update={"adapter": "another"})
    assert generate_videos(path, videos, FadeGenerator(), other) == Generated(10, 20, 0)


def test_a_new_solution_is_a_new_video_of_the_demonstrator_only(path: Path, videos: Path):
    generate_videos(path, videos, FadeGenerator(), EVALUATION)
    with store.writing(path) as con:
        con.execute("UPDATE task_pairs SET solution = 'Another way.'")
    assert generate_videos(path, videos, FadeGenerator(), EVALUATION) == Generated(10, 20, 0)


def test_a_lost_picture_is_skipped_and_counted(path: Path, videos: Path):
    with store.reading(path) as con:
        items = items_of(con, EVALUATION.config)
    items[0].frame.path.unlink()
    lost = sum(item.frame == items[0].frame for item in items)
    assert generate_videos(path, videos, FadeGenerator(), EVALUATION) == Generated(3 * (10 - lost), 0, 3 * lost)


def test_the_wrong_model_judge_or_no_adapter_is_refused(path: Path, videos: Path):
    with pytest.raises(ValueError, match="of model other"):
        generate_videos(path, videos, FadeGenerator(), EVALUATION.model_copy(update={"model": "other"}))
    with pytest.raises(ValueError, match="train first"):
        generate_videos(path, videos, FadeGenerator(), EVALUATION.model_copy(update={"adapter": ""}))
    with pytest.raises(ValueError, match="judged by 'script'"):
        judge_videos(path, ScriptedJudge(lambda q, v: YES, name="somebody"), EVALUATION)


def test_judging_asks_three_questions_about_the_stored_pixels_and_the_short_task(path: Path, videos: Path):
    generate_videos(path, videos, FadeGenerator(), EVALUATION)
    judge = ScriptedJudge(lambda question, video: YES)
    assert judge_videos(path, judge, EVALUATION) == Judged(asked=90, unread=0)
    assert {question.name for question, _ in judge.asked} == {"judge_task", "judge_agent", "judge_consistency"}
    with store.reading(path) as con:
        items = items_of(con, EVALUATION.config)
    assert all(any(item.task in question.text for item in items) for question, _ in judge.asked)
    assert not any(item.solution in question.text for question, _ in judge.asked for item in items)
    stored = [clips.read(Path(str(r["path"]))) for r in rows(path, "SELECT path FROM videos")]
    assert all(any(np.array_equal(video, s) for s in stored) for _, video in judge.asked)
    again = ScriptedJudge(lambda question, video: NO)
    assert judge_videos(path, again, EVALUATION) == Judged(0, 0)


@pytest.mark.parametrize("change", ["text", "polarity"])
def test_a_question_that_reads_otherwise_is_asked_again_though_its_version_stands(
    path: Path, videos: Path, monkeypatch: pytest.MonkeyPatch, change: str
):
    generate_videos(path, videos, FadeGenerator(), EVALUATION)
    judge_videos(path, ScriptedJudge(lambda question, video: YES), EVALUATION)
    name, load = count_verdicts(path, EVALUATION).evaluation_id, prompts.load

    def reversed_(prompt: str) -> dict[str, object]:
        known = load(prompt)
        if prompt != "judge_task":
            return known
        return known | ({"good": "no"} if change == "polarity" else {"question": "Is this not done: {task}?"})

    monkeypatch.setattr(prompts, "load", reversed_)
    with store.reading(path) as con:
        assert {o.points("task") for o in outcomes(con, EVALUATION)["base"]} == {None}
        assert {o.points("agent") for o in outcomes(con, EVALUATION)["base"]} == {1}
    judge = ScriptedJudge(lambda question, video: NO)
    assert judge_videos(path, judge, EVALUATION) == Judged(30, 0)
    assert {question.name for question, _ in judge.asked} == {"judge_task"}
    assert count_verdicts(path, EVALUATION).evaluation_id != name


def test_a_judgment_names_what_was_asked_and_shown(path: Path, videos: Path):
    generate_videos(path, videos, FadeGenerator(), EVALUATION)
    judge = ScriptedJudge(lambda question, video: LogOdds(2.0, 0.75))
    judge_videos(path, judge, EVALUATION)
    stored = rows(path, "SELECT * FROM judgments")
    assert {r["question_sha256"] for r in stored} == {question.sha256 for question, _ in judge.asked}
    assert {(r["mass"], r["frames"], r["height"], r["width"]) for r in stored} == {(0.75, FRAMES, 20, 20)}


def test_an_unread_judgment_is_null_with_its_reason_and_asked_again(path: Path, videos: Path):
    generate_videos(path, videos, FadeGenerator(), EVALUATION)

    def half_blind(question, video):
        return LogOdds.unread("timed out") if question.name == "judge_agent" else YES

    assert judge_videos(path, ScriptedJudge(half_blind), EVALUATION) == Judged(90, 30)
    stored = rows(path, "SELECT * FROM judgments WHERE criterion = 'agent'")
    assert {(r["verdict"], r["log_odds"], r["reason"]) for r in stored} == {(None, None, "timed out")}
    judge = ScriptedJudge(lambda question, video: NO)
    assert judge_videos(path, judge, EVALUATION) == Judged(30, 0)
    assert {question.name for question, _ in judge.asked} == {"judge_agent"}
    assert {r["reason"] for r in rows(path, "SELECT reason FROM judgments")} == {""}


def test_a_damaged_file_is_not_judged_and_its_old_verdicts_go_when_it_is_made_again(path: Path, videos: Path):
    generate_videos(path, videos, FadeGenerator(), EVALUATION)
    row = rows(path, "SELECT * FROM videos LIMIT 1")[0]
    file = Path(str(row["path"]))
    file.write_bytes(file.read_bytes()[:-20])
    judge = ScriptedJudge(lambda question, video: YES)
    assert judge_videos(path, judge, EVALUATION) == Judged(90, 3)
    assert len(judge.asked) == 87
    file.unlink()
    generate_videos(path, videos, FadeGenerator(), EVALUATION)
    assert rows(path, f"SELECT * FROM judgments WHERE video_id = '{row['video_id']}'") == []


def test_scores_count_valid_judgments_only(path: Path, videos: Path):
    """Ten items an arm; the executor's script: 6 yes, 2 no and 2 unread on task, all yes on the rest."""
    generate_videos(path, videos, FadeGenerator(), EVALUATION)
    answers = {"executor": [YES] * 6 + [NO] * 2 + [LogOdds.unread("no answer")] * 2}
    with store.reading(path) as con:
        items = items_of(con, EVALUATION.config)
        found = outcomes(con, EVALUATION)
    script = {
        clips.read(Path(outcome.video)).tobytes(): answer
        for outcome, answer in zip(found["executor"], answers["executor"], strict=True)
    }
    judge_videos(
        path,
        ScriptedJudge(lambda q, v: script.get(v.tobytes(), NO) if q.name == "judge_task" else YES),
        EVALUATION,
    )
    summary = count_verdicts(path, EVALUATION)
    assert summary.evaluation_id == evaluation_id(items, EVALUATION)
    assert summary.items == 10
    assert summary.averages == pytest.approx({"base": 2 / 3, "demonstrator": 2 / 3, "executor": (6 + 2 * 2 / 3) / 8})
    assert summary.failure_rate == pytest.approx(2 / 90)
    stored = {(r["arm"], r["criterion"]): r for r in rows(path, "SELECT * FROM evaluations")}
    assert len(stored) == 3 * len(MEASURES)
    task = stored["executor", "task"]
    assert (task["successes"], task["valid"], task["expected"], task["score"]) == (6, 8, 10, 0.75)
    pictures = len({outcome.item.frame.frame_id for outcome in found["executor"][:8]})
    exact = clopper_pearson(0.75 * pictures, pictures)
    assert (task["low"], task["high"]) == (exact.low, exact.high)
    assert stored["executor", "agent"]["valid"] == 10
    average = stored["executor", "average"]
    assert (average["valid"], average["successes"]) == (8, pytest.approx(6 + 4 / 3))
    assert (stored["executor", "all"]["successes"], stored["executor", "all"]["valid"]) == (6, 8)
    count_verdicts(path, EVALUATION)
    assert len(rows(path, "SELECT * FROM evaluations")) == 3 * len(MEASURES)


def test_an_arm_without_a_judgment_has_no_score_and_full_failure_rate(path: Path):
    summary = count_verdicts(path, EVALUATION)
    assert summary.averages == {"base": None, "demonstrator": None, "executor": None}
    assert summary.failure_rate == 1
    assert {(r["score"], r["valid"]) for r in rows(path, "SELECT * FROM evaluations")} == {(None, 0)}


def test_the_evaluation_changes_its_name_with_all_that_makes_it_another(path: Path):
    with store.reading(path) as con:
        items = items_of(con, EVALUATION.config)
    changed = [
        EVALUATION.model_copy(update=update)
        for update in (
            {"model": "m"},
            {"adapter": "a"},
            {"judge": "j"},
            {"config": EvaluateConfig(tasks=10, steps=3)},
            {"config": EvaluateConfig(tasks=10, steps=2, seed=1)},
            {"config": EvaluateConfig(tasks=10, steps=2, benchmark="worldtasks-test")},
        )
    ]
    names = {evaluation_id(items, e) for e in (EVALUATION, *changed)} | {evaluation_id(items[:9], EVALUATION)}
    assert len(names) == 8
    of_two_arms = EVALUATION.model_copy(update={"config": EVALUATION.config.model_copy(update={"arms": ARMS[:2]})})
    written_anew = [replace(items[0], solution="Another way."), *items[1:]]
    by_another = EVALUATION.model_copy(update={"writer": "w"})
    names |= {
        evaluation_id(items, of_two_arms),
        evaluation_id(written_anew, EVALUATION),
        evaluation_id(items, by_another),
    }
    assert len(names) == 11
    larger_batch = EVALUATION.model_copy(update={"config": EvaluateConfig(tasks=10, steps=2, batch=9)})
    assert evaluation_id(items, larger_batch) == evaluation_id(items, EVALUATION)


def test_arms_are_compared_on_items_that_are_valid_in_both(path: Path, videos: Path):
    generate_videos(path, videos, FadeGenerator(), EVALUATION)
    with store.reading(path) as con:
        found = outcomes(con, EVALUATION)
    wins = {clips.read(Path(o.video)).tobytes() for o in found["executor"][:7]}
    unread = {clips.read(Path(found["base"][9].video)).tobytes()}

    def script(question, video):
        if video.tobytes() in unread:
            return LogOdds.unread("no answer")
        return YES if video.tobytes() in wins else NO

    judge_videos(path, ScriptedJudge(script), EVALUATION)
    with store.reading(path) as con:
        found = outcomes(con, EVALUATION)
        comparisons = {(c.arm, c.against, c.measure): c for c in compare_arms(found, MEASURES)}
        by_task, by_agent = breakdowns(con, EVALUATION.benchmark, found)
    task = comparisons["executor", "base", "task"]
    assert (task.pairs, task.dropped, task.wins, task.losses) == (9, 1, 7, 0)
    assert task.difference == pytest.approx(7 / 9)
    won = {outcome.item.frame.frame_id for outcome in found["executor"][:7]}
    assert task.p == 2 / 2 ** len(won)  # seven tasks of fewer pictures: every picture's sum is positive
    assert task.p_holm == 1 or task.p_holm > task.p
    average = comparisons["executor", "base", "average"]
    assert average.p == 2 / 2 ** len(won)
    assert average.difference == pytest.approx(7 / 9)
    assert average.low <= average.difference <= average.high
    nothing = comparisons["demonstrator", "base", "all"]
    assert (nothing.difference, nothing.p) == (0, 1)
    assert len(comparisons) == 3 * len(MEASURES)
    assert sum(category.items for category in by_task.categories) == 10
    assert sum(c.scores[2].successes for c in by_task.categories) == 7
    assert sum(s.valid for c in by_agent.categories for s in c.scores if s.arm == "base") == 9


def test_small_categories_are_pooled_and_not_dropped(tmp_path: Path):
    path = build(tmp_path, until="generate", frames=80)
    with store.reading(path) as con:
        found = outcomes(con, EVALUATION.model_copy(update={"config": EvaluateConfig(tasks=400)}))
    pairs = [outcome.item.item_id for outcome in found["base"]]
    assert len(pairs) > 41  # or one pair would be more than 5 %
    names = ["rare", "rarer", *["common"] * (len(pairs) - 2)]
    labels = [
        {"pair_id": pair, "labeller": "hand", "agent_type": "all", "task_type": name}
        for pair, name in zip(pairs, names, strict=True)
    ]
    with store.writing(path) as con:
        con.execute("DELETE FROM taxonomy")
        store.insert(con, "taxonomy", labels[:-1])
    with store.reading(path) as con:
        by_task, by_agent = breakdowns(con, EVALUATION.benchmark, found)
    assert (by_task.labeller, by_task.unlabelled) == ("hand", 1)
    assert [(c.name, c.items) for c in by_task.categories] == [("common", len(pairs) - 3), ("other", 2)]
    assert [(c.name, c.items) for c in by_agent.categories] == [("all", len(pairs) - 1)]


def test_scores_of_all_arms_are_listed_in_order(path: Path):
    with store.reading(path) as con:
        listed = scores(outcomes(con, EVALUATION), MEASURES)
    assert [(s.arm, s.measure) for s in listed] == [(arm, measure) for arm in ARMS for measure in MEASURES]
