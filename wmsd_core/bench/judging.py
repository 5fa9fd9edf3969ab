"""Asking about the videos: a yes/no question for each criterion, read from the stored files.

Whatever the arm was told, the questions name the short task: an arm is judged by the goal, not by its instructions.
"""

from dataclasses import dataclass
from pathlib import Path

from wmsd_core import store
from wmsd_core.arrays import Video
from wmsd_core.bench.evaluation import Evaluation, items_of, video_id
from wmsd_core.frames import clips
from wmsd_core.vlm import LogOdds, Question, VisionLanguageModel


@dataclass(frozen=True)
class Judged:
    """What a run of `judge_videos` did."""

    asked: int
    unread: int
    """Of those asked, judgments that could not be obtained; the next run asks them again."""


@dataclass(frozen=True)
class _Open:
    """A judgment that is missing, or was not read the last time."""

    video_id: str
    path: Path
    sha256: str
    criterion: str
    question: Question


def judge_videos(path: Path, vlm: VisionLanguageModel, evaluation: Evaluation) -> Judged:
    """Judges the videos of an evaluation that have no verdict yet, one batch and one transaction at a time.

    A judgment that could not be obtained is stored as NULL with its reason: never as a failure, and asked again next
    time. One whose question reads otherwise now, version or no version, is no verdict on it, and is asked again too.

    Raises:
        ValueError: the model is not the judge of the evaluation.
    """
    if vlm.name != evaluation.judge:
        raise ValueError(f"the evaluation is judged by '{evaluation.judge}', the model given is '{vlm.name}'")
    asked = unread = 0
    wanted = _open(path, evaluation)
    benchmark = evaluation.benchmark
    size = evaluation.config.batch * len(benchmark.criteria)
    for batch in (wanted[start : start + size] for start in range(0, len(wanted), size)):
        answers = _ask(vlm, batch)
        rows = [
            {
                "benchmark": benchmark.name,
                "video_id": judgment.video_id,
                "criterion": judgment.criterion,
                "question_version": judgment.question.asked,
                "question_sha256": judgment.question.sha256,
                "judge": vlm.name,
                "log_odds": answer.value if answer.valid else None,
                "verdict": answer.verdict,
                "reason": answer.reason,
                "mass": answer.mass if answer.valid else None,
                **dict(zip(("frames", "height", "width"), shape, strict=True)),
            }
            for judgment, (answer, shape) in zip(batch, answers, strict=True)
        ]
        with store.writing(path) as con:
            store.insert(con, "judgments", rows, replace=True)
        asked += len(rows)
        unread += sum(not answer.valid for answer, _ in answers)
    return Judged(asked, unread)


def _open(path: Path, evaluation: Evaluation) -> list[_Open]:
    criteria = evaluation.benchmark.criteria
    with store.reading(path) as con:
        items = items_of(con, evaluation.config, writer=evaluation.writer)
        videos = {row["video_id"]: row for row in store.query(con, "SELECT video_id, path, sha256 FROM videos")}
        done = {
            (row["video_id"], row["question_version"], row["question_sha256"])
            for row in store.query(
                con,
                "SELECT video_id, question_version, question_sha256 FROM judgments WHERE judge = ? AND verdict IS NOT NULL",
                [evaluation.judge],
            )
        }
    wanted: list[_Open] = []
    for item in items:
        for arm in evaluation.config.arms:
            row = videos.get(video_id(item, arm, evaluation))
            if row is None:
                continue
            for criterion in criteria:
                question = criterion.question.about(task=item.task)
                if (row["video_id"], question.asked, question.sha256) not in done:
                    wanted.append(_Open(row["video_id"], Path(row["path"]), row["sha256"], criterion.name, question))
    return wanted


def _ask(vlm: VisionLanguageModel, batch: list[_Open]) -> list[tuple[LogOdds, tuple[int | None, ...]]]:
    """One answer per wanted judgment, in order, with frames, height and width of what was handed over. What has no intact
    file is not asked about."""
    files = {each.path: each.sha256 for each in batch}
    videos: dict[Path, Video] = {file: clips.read(file) for file, sha256 in files.items() if clips.intact(file, sha256)}
    askable = [each for each in batch if each.path in videos]
    asked = vlm.log_odds([e.question for e in askable], [videos[e.path] for e in askable]) if askable else []
    answers = iter(asked)
    lost = "the video file is missing or damaged; generate it again"
    return [
        (next(answers), videos[each.path].shape[:3])
        if each.path in videos
        else (LogOdds.unread(lost), (None, None, None))
        for each in batch
    ]
