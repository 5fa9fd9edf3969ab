"""Clips that anybody made: found by their names, judged as the project's own are, and told apart by their content."""

import json
import os
import shutil
import signal
from pathlib import Path

import av
import numpy as np
import pytest

from tests.bench.synthetic import build
from tests.bench.tiny import FadeGenerator, ScriptedJudge
from tests.reference import REFERENCE
from wmsd_core import store
from wmsd_core.bench import naming
from wmsd_core.bench.evaluation import EvaluateConfig, Evaluation, items_of
from wmsd_core.bench.generation import generate_videos
from wmsd_core.bench.handing_out import hand_out
from wmsd_core.bench.intake import TakenIn, take_in
from wmsd_core.bench.judging import Judged, judge_videos
from wmsd_core.bench.report import write_report
from wmsd_core.bench.scores import count_verdicts, missing, outcomes
from wmsd_core.vlm import LogOdds, Question

YES = LogOdds(2.0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return build(tmp_path, until="generate", frames=24)


def film(path: Path, *, level: int = 0, frames: int = 12, rate: int = 16) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=rate)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for step in range(frames):
            picture = np.full((48, 64, 3), (level + 10 * step) % 256, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


def evaluation(folder: Path, *, tasks: int = 6) -> Evaluation:
    config = EvaluateConfig(tasks=tasks, arms=(), videos={"veo": str(folder)}, batch=4)
    return Evaluation(config=config, model="", adapter="", judge="script")


def taken(path: Path, folder: Path) -> tuple[TakenIn, Evaluation]:
    asked = evaluation(folder)
    found = take_in(path, asked, "veo", folder)
    return found, asked.model_copy(update={"clips": {"veo": found.clips}})


def filled(path: Path, folder: Path) -> list[str]:
    """Six items: by id, by the published form, cut off, broken, missing, twice; and an extra one. Their ids."""
    with store.reading(path) as con:
        items = items_of(con, EvaluateConfig(tasks=6))
    film(folder / f"{items[0].item_id}.mp4")
    film(folder / "deeper" / f"{naming.title(1, items[1].task)}.mp4", level=20)
    film(folder / f"{naming.title(2, items[2].task)[:-3]}.mp4", level=40)
    (folder / f"{items[3].item_id}.mp4").write_bytes(b"no video")
    film(folder / f"{items[5].item_id}.mp4", level=60)
    film(folder / f"{naming.title(5, items[5].task)}.mp4", level=61)
    film(folder / "000123_base.mp4")
    (folder / "notes.txt").write_text("how they were made")
    return [item.item_id for item in items]


def test_missing_extra_and_broken_clips_are_counted_rate_and_length_recorded(path: Path, tmp_path: Path):
    ids = filled(path, tmp_path / "clips")
    found, named = taken(path, tmp_path / "clips")
    told = found.summary
    assert {kind: told[kind] for kind in ("expected", "found", "missing", "extra", "refused", "broken")} == {
        "expected": 6,
        "found": 4,
        "missing": 1,
        "extra": 1,
        "refused": 1,
        "broken": 1,
    }
    assert told["shapes"] == {"12 frames at 16 per second": 3}
    assert any("000123_base.mp4" in str(remark) for remark in told["remarks"])  # type: ignore[union-attr]
    asked = ScriptedJudge(lambda question, video: YES)
    assert judge_videos(path, asked, named) == Judged(asked=12, unread=3)
    assert {question.fps for question, _ in asked.asked} == {16.0}  # the times of its frames are its own
    with store.reading(path) as con:
        by_arm = outcomes(con, named)
        reasons = {row.reason[:20]: row.judgments for row in missing(by_arm)}
        assert [outcome.points("all") for outcome in by_arm["veo"]] == [1, 1, 1, None, None, None]
        assert store.query(con, "SELECT frames, fps FROM videos WHERE item_id = ?", [ids[3]])[0]["frames"] is None
    assert reasons == {"its video is not the": 6, "not_a_video: it cann": 3}
    scores = count_verdicts(path, named)
    assert scores.averages == {"veo": 1.0} and scores.failure_rate == 0.5
    page = write_report(path, tmp_path / "report.html", evaluation=named).path.read_text(encoding="utf-8")
    assert "veo" in page and "clips made elsewhere" in page


def test_a_second_run_looks_into_nothing_and_another_content_is_another_video(path: Path, tmp_path: Path):
    ids = filled(path, tmp_path / "clips")
    _, first = taken(path, tmp_path / "clips")
    judge_videos(path, ScriptedJudge(lambda question, video: YES), first)
    again, second = taken(path, tmp_path / "clips")
    assert (again.known, second) == (3, first)  # the broken one is looked into again
    nothing = ScriptedJudge(lambda question, video: YES)
    judge_videos(path, nothing, second)
    assert nothing.asked == []
    film(tmp_path / "clips" / f"{ids[0]}.mp4", level=99)
    changed, third = taken(path, tmp_path / "clips")
    assert changed.known == 2
    other = ScriptedJudge(lambda question, video: LogOdds(-1.0))
    judge_videos(path, other, third)
    assert len(other.asked) == 3
    with store.reading(path) as con:
        before, now = outcomes(con, first)["veo"][0], outcomes(con, third)["veo"][0]
    assert (before.points("task"), now.points("task")) == (1, 0)
    assert count_verdicts(path, first).evaluation_id != count_verdicts(path, third).evaluation_id


def test_every_run_says_the_same_of_a_clip_and_one_that_is_no_video_has_no_verdict(path: Path, tmp_path: Path):
    with store.reading(path) as con:
        items = items_of(con, EvaluateConfig(tasks=6))
    clips = tmp_path / "clips"
    film(clips / f"{items[0].item_id}.mp4")
    film(clips / f"{items[1].item_id}.mp4", frames=1)
    (clips / f"{items[2].item_id}.mp4").write_bytes(b"no video")
    (clips / f"{items[3].item_id}.png").write_bytes(items[3].frame.path.read_bytes())
    shutil.copy(clips / f"{items[0].item_id}.mp4", clips / f"{items[4].item_id}.mp4")
    first, named = taken(path, clips)
    assert (first.summary["broken"], first.summary["missing"], first.summary["extra"]) == (2, 2, 0)
    told = {remark.subject: f"{remark.kind}: {remark.detail}" for remark in first.submission.remarks}
    assert told[items[0].item_id].startswith(
        "caution: its first frame is not the picture"
    )  # of the film, which is grey
    assert told[items[1].item_id] == "invalid: 1 frame is no video"
    assert f"{items[3].item_id}.png has its name, but is none of .avi" in told[items[3].item_id]
    assert told[items[5].item_id] == "missing: there is no video of it"
    second, _ = taken(path, clips)
    assert second.known == 3
    assert {key: second.summary[key] for key in ("found", "broken", "shapes")} == {
        key: first.summary[key] for key in ("found", "broken", "shapes")
    }
    assert [(r.kind, r.subject) for r in second.submission.remarks] == [
        (r.kind, r.subject) for r in first.submission.remarks
    ]
    judge = ScriptedJudge(lambda question, video: YES)
    judge_videos(path, judge, named)
    assert all(len(video) > 1 for _, video in judge.asked)
    with store.reading(path) as con:
        by_arm = outcomes(con, named)
    assert [outcome.points("all") for outcome in by_arm["veo"]] == [1, None, None, None, 1, None]
    assert set(by_arm["veo"][1].missing.values()) == {"1 frame is no video"}


def test_clips_are_an_arm_beside_the_projects_own(path: Path, tmp_path: Path):
    filled(path, tmp_path / "clips")
    config = EvaluateConfig(tasks=6, steps=1, batch=4, arms=("base",), videos={"veo": str(tmp_path / "clips")})
    both = Evaluation(config=config, model="fade-weights", adapter="", judge="script")
    generate_videos(path, tmp_path / "videos", FadeGenerator(), both)
    found = take_in(path, both, "veo", tmp_path / "clips")
    named = both.model_copy(update={"clips": {"veo": found.clips}})

    def script(question: Question, video: np.ndarray) -> LogOdds:
        return LogOdds(1.0 if len(video) == 12 else -1.0)

    judge_videos(path, ScriptedJudge(script), named)
    assert count_verdicts(path, named).averages == {"base": 0.0, "veo": 1.0}


def test_names_follow_the_published_form_and_the_text_decides():
    assert naming.title(2, "[First person view]: Move to the right to examine the distant house.") == (
        "000002_First_person_view_Move_to_the_right_to_examine_the_distant_house"
    )
    assert naming.slug("[First-person view]: aim at 'it', __now__!") == "First-person_view_aim_at_it_now"


def test_of_items_with_one_text_the_number_decides_and_a_wrong_one_is_extra(tmp_path: Path):
    tasks = {"a": "[Circle]: go left.", "b": "[Circle]: go left.", "c": "[Circle]: go right."}
    for name in ("000001_Circle_go_left", "000007_Circle_go_left", "000055_circle_go_right", "2", "000002"):
        (tmp_path / f"{name}.mp4").touch()
    found = naming.read(tmp_path, tasks)
    assert {item: path.name for item, path in found.found.items()} == {
        "b": "000001_Circle_go_left.mp4",
        "c": "000055_circle_go_right.mp4",  # others number theirs otherwise
    }
    assert found.subjects("missing") == ["a"]
    assert len(found.subjects("extra")) == 3


def test_what_is_handed_out_comes_back(path: Path, tmp_path: Path):
    told = hand_out(path, EvaluateConfig(tasks=6), tmp_path / "out")
    lines = [json.loads(line) for line in (tmp_path / "out" / "items.jsonl").read_text().splitlines()]
    assert told["items"] == told["pictures"] == len(lines) == 6
    with store.reading(path) as con:
        items = items_of(con, EvaluateConfig(tasks=6))
    assert [(line["id"], line["task"]) for line in lines] == [(item.item_id, item.task) for item in items]
    for line, item in zip(lines, items, strict=True):
        assert (tmp_path / "out" / line["picture"]).read_bytes() == item.frame.path.read_bytes()
    assert not any(item.solution in (tmp_path / "out" / "items.jsonl").read_text() for item in items)
    for number, line in enumerate(lines):
        film(tmp_path / "clips" / f"{line['name']}.mp4", level=number)
    assert set(taken(path, tmp_path / "clips")[0].clips) == {item.item_id for item in items}
    assert hand_out(path, EvaluateConfig(tasks=2), tmp_path / "out")["items"] == 2  # takes the place of the earlier one
    (tmp_path / "out" / "clip.mp4").touch()
    with pytest.raises(ValueError, match=r"no export wrote, such as clip\.mp4"):
        hand_out(path, EvaluateConfig(tasks=6), tmp_path / "out")


def test_a_hand_out_that_was_stopped_begins_anew_and_leaves_nothing(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    foreign = tmp_path / ".out.partial"
    foreign.mkdir()
    copied: list[Path] = []

    def interrupted(source: Path, target: Path) -> None:
        copied.append(Path(target))
        target.touch()
        if len(copied) == 3:
            os.kill(os.getpid(), signal.SIGKILL)

    child = os.fork()
    if not child:
        monkeypatch.setattr(shutil, "copyfile", interrupted)
        hand_out(path, EvaluateConfig(tasks=6), tmp_path / "out")
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    assert not (tmp_path / "out").exists()
    hand_out(path, EvaluateConfig(tasks=6), tmp_path / "out")
    assert len(list((tmp_path / "out" / "pictures").iterdir())) == 6
    assert {place.name for place in tmp_path.glob(".out*")} == {".out.partial"}


@pytest.mark.parametrize("name", ["base", "a b", "", "../x"])
def test_clips_go_by_a_name_of_their_own(name: str):
    with pytest.raises(ValueError, match="clips go by a name"):
        EvaluateConfig(videos={name: "somewhere"})


def test_an_evaluation_of_nobody_is_a_mistake():
    with pytest.raises(ValueError, match="at least one arm"):
        EvaluateConfig(arms=())


@pytest.mark.skipif(not (REFERENCE / "videos").is_dir(), reason="the published clips are not at hand")
def test_published_clips_are_judged_at_their_rate_and_length(path: Path, tmp_path: Path):
    with store.reading(path) as con:
        items = items_of(con, EvaluateConfig(tasks=3))
    (tmp_path / "clips").mkdir()
    for item, number in zip(items, ("000005", "000048", "000123"), strict=True):
        shutil.copy(REFERENCE / "videos" / f"{number}_wmsd.mp4", tmp_path / "clips" / f"{item.item_id}.mp4")
    asked = evaluation(tmp_path / "clips", tasks=3)
    found = take_in(path, asked, "veo", tmp_path / "clips")
    assert found.summary["shapes"] == {"121 frames at 24 per second": 3}
    judge = ScriptedJudge(lambda question, video: YES if video.shape == (121, 512, 768, 3) else LogOdds(-1.0))
    assert judge_videos(path, judge, asked.model_copy(update={"clips": {"veo": found.clips}})) == Judged(9, 0)
    assert all(answer.fps == 24 for answer, _ in judge.asked)
