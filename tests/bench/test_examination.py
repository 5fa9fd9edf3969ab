"""Controls: what a judge says where the answer is known, and what the page makes of it."""

import html
from pathlib import Path

import av
import numpy as np
import pytest

from tests.bench.synthetic import build
from tests.bench.tiny import FRAMES, FadeGenerator, ScriptedJudge
from wmsd_core import store
from wmsd_core.bench import controls
from wmsd_core.bench.evaluation import EvaluateConfig, Evaluation, items_of
from wmsd_core.bench.examination import Finding, findings, judge_controls
from wmsd_core.bench.generation import generate_videos
from wmsd_core.bench.judging import UNCHANGED, Judged, judge_videos
from wmsd_core.bench.report import write_report
from wmsd_core.bench.scores import outcomes
from wmsd_core.frames import clips
from wmsd_core.vlm import LogOdds, Question

CONFIG = EvaluateConfig(tasks=8, steps=2, batch=4, controls=5)
EVALUATION = Evaluation(config=CONFIG, model="fade-weights", adapter="trained", judge="script")
YES, NO = LogOdds(2.0), LogOdds(-1.5)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = build(tmp_path, until="generate", frames=24)
    generate_videos(made, tmp_path / "videos", FadeGenerator(), EVALUATION)
    return made


def seeing(path: Path) -> ScriptedJudge:
    """Says yes to every video as it was made, about its own task, and to films; no to everything else."""
    with store.reading(path) as con:
        rows = store.query(con, "SELECT item_id, path FROM videos")
        task = {item.item_id: item.task for item in items_of(con, CONFIG)}
    known = {(clips.read(Path(row["path"])).tobytes(), task[row["item_id"]]) for row in rows}

    def script(question: Question, video: np.ndarray) -> LogOdds:
        own = any(pixels == video.tobytes() and text in question.text for pixels, text in known)
        return YES if own or video.shape[1:3] == (48, 64) else NO

    return ScriptedJudge(script)


def examined(path: Path, judge: ScriptedJudge) -> dict[tuple[str, str], Finding]:
    judge_videos(path, judge, EVALUATION)
    judge_controls(path, judge, EVALUATION)
    with store.reading(path) as con:
        return {(each.control.name, each.criterion.name): each for each in findings(con, EVALUATION)}


def test_each_control_changes_what_it_says():
    video = np.arange(6, dtype=np.uint8)[:, None, None, None].repeat(3, axis=3)
    order = {
        control.name: list(control.change(video)[:, 0, 0, 0])
        for make in (controls.still, controls.reversed_, controls.cut, controls.shuffled_middle)
        if (control := make({})).change
    }
    assert order == {
        "still": [0] * 6,
        "reversed": [5, 4, 3, 2, 1, 0],
        "cut": [0, 0, 0, 5, 5, 5],
        "middle": [0, 4, 3, 2, 1, 5],
    }


def test_a_judge_that_says_yes_to_everything_fails_every_control_and_is_named(path: Path, tmp_path: Path):
    found = examined(path, ScriptedJudge(lambda question, video: YES))
    assert set(found) == {
        ("still", "task"),
        ("still", "agent"),
        ("reversed", "task"),
        ("cut", "consistency"),
        ("middle", "consistency"),
        ("other-task", "task"),
    }
    assert all(each.rate == 1 and each.fails and not each.expected for each in found.values())
    still = found["still", "task"]
    assert (still.valid, still.high, still.low) == (5, 1, pytest.approx(0.025 ** (1 / 4)))  # of four pictures
    page = _page(path, tmp_path)
    assert page.index("Controls: what the judge says") < page.index("Scores and denominators")
    assert "The question “Task” does not see what it should: of 5 controls (first frame, held) 5 were answered" in page


def test_a_judge_that_sees_passes_them(path: Path, tmp_path: Path):
    found = examined(path, seeing(path))
    assert all(each.rate == 0 and each.valid and not each.fails for each in found.values())
    assert "does not see what it should" not in _page(path, tmp_path)


def _page(path: Path, folder: Path) -> str:
    written = write_report(path, folder / "report.html", evaluation=EVALUATION)
    return " ".join(html.unescape(written.path.read_text(encoding="utf-8")).split())


def test_nothing_is_asked_twice_and_scores_do_not_know_of_controls(path: Path):
    examined(path, seeing(path))
    again = ScriptedJudge(lambda question, video: YES)
    assert judge_controls(path, again, EVALUATION) == Judged(0, 0)
    assert again.asked == []
    with store.reading(path) as con:
        assert all(outcome.points("all") == 1 for found in outcomes(con, EVALUATION).values() for outcome in found)
        rows = store.query(con, "SELECT control, count(*) AS n FROM judgments GROUP BY control ORDER BY control")
    assert {row["control"]: row["n"] for row in rows}[""] == 8 * 3 * 3


def test_controls_are_made_of_videos_that_fulfil_everything_where_there_are_enough(path: Path):
    with store.reading(path) as con:
        item = items_of(con, CONFIG)[6]
        row = store.query(con, f"SELECT path FROM videos WHERE item_id = '{item.item_id}' AND arm = 'base'")[0]
    best = clips.read(Path(row["path"]))
    judge = ScriptedJudge(lambda question, video: YES if np.array_equal(video, best) else NO)
    judge_videos(path, judge, EVALUATION)
    judge.asked.clear()
    judge_controls(path, judge, EVALUATION)
    first = next(video for question, video in judge.asked if question.name == "judge_task")
    assert np.array_equal(first, best[:1].repeat(FRAMES, axis=0))


def test_a_video_in_which_nothing_moves_is_no_control(path: Path):
    with store.reading(path) as con:
        rows = store.query(con, "SELECT video_id, path FROM videos")
    with store.writing(path) as con:
        for row in rows:
            still = clips.read(Path(row["path"]))[:1].repeat(FRAMES, axis=0)
            file, sha256 = clips.write(still, path.parent / "videos")
            con.execute(
                "UPDATE videos SET path = ?, sha256 = ? WHERE video_id = ?", [str(file), sha256, row["video_id"]]
            )
    found = examined(path, ScriptedJudge(lambda question, video: YES))
    assert {name for name, each in found.items() if each.valid} == {("other-task", "task")}
    with store.reading(path) as con:
        reasons = store.query(con, "SELECT DISTINCT reason FROM judgments WHERE control NOT IN ('', 'other-task')")
    assert reasons == [{"reason": UNCHANGED}]


def test_a_real_video_is_shown_where_frames_came_from_one(path: Path, tmp_path: Path):
    film = tmp_path / "film.mp4"
    with av.open(str(film), "w") as container:
        stream = container.add_stream("mpeg4", rate=24)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for level in range(0, 240, 20):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), level, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with store.writing(path) as con:
        con.execute("UPDATE frames SET video = ? WHERE frame_id IN (SELECT min(frame_id) FROM frames)", [str(film)])
    finding = examined(path, seeing(path))["real", "consistency"]
    assert (finding.expected, finding.rate, finding.valid, finding.fails) == (True, 1.0, 1, False)


def test_without_a_sample_there_are_no_controls(path: Path):
    none = EVALUATION.model_copy(update={"config": CONFIG.model_copy(update={"controls": 0})})
    judge = ScriptedJudge(lambda question, video: YES)
    assert judge_controls(path, judge, none) == Judged(0, 0)
    with store.reading(path) as con:
        assert findings(con, none) == []
