"""Asking about the videos: a yes/no question for each criterion, read from the stored files.

Whatever the arm was told, the questions name the short task: an arm is judged by the goal, not by its instructions.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from wmsd_core import store
from wmsd_core.arrays import Video
from wmsd_core.bench.evaluation import Evaluation, items_of, video_id
from wmsd_core.frames import clips
from wmsd_core.vlm import LogOdds, Question, VisionLanguageModel, judge_of
from wmsd_core.vlm.protocol import Evidence
from wmsd_core.vlm.yes_no import read

TIE = "a tie: the judge finds yes and no equally likely"
MOST_BYTES = 2**30
"""Of decoded videos in memory at once; one that is larger comes alone."""


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
    if judge_of(vlm) != evaluation.judge:
        raise ValueError(f"the evaluation is judged by '{evaluation.judge}', the model given is '{judge_of(vlm)}'")
    asked = unread = 0
    for batch in _in_batches(_open(path, evaluation), evaluation.config.batch):
        rows = [
            _row(wanted, answer, shape, evaluation)
            for (wanted, _), (answer, shape) in zip(batch, _ask(vlm, batch), strict=True)
        ]
        with store.writing(path) as con:
            store.insert(con, "judgments", rows, replace=True)
        asked += len(rows)
        unread += sum(row["log_odds"] is None for row in rows)
    return Judged(asked, unread)


def _row(wanted: _Open, answer: LogOdds, shape: tuple[int, ...], evaluation: Evaluation) -> dict[str, Any]:
    evidence = answer.evidence
    return {
        "benchmark": evaluation.benchmark.name,
        "video_id": wanted.video_id,
        "criterion": wanted.criterion,
        "question_version": wanted.question.asked,
        "question_sha256": wanted.question.sha256,
        "text_sha256": wanted.question.text_sha256,
        "judge": evaluation.judge,
        "log_odds": answer.value if answer.valid else None,
        "verdict": answer.verdict,
        "reason": TIE if answer.valid and answer.verdict is None else answer.reason,
        "mass": answer.mass if answer.valid else None,
        "bound": answer.bound,
        "request": evidence.request if evidence else "",
        "evidence": _as_json(evidence) if evidence else None,
        **dict(zip(("frames", "height", "width"), (evidence.shown if evidence else shape) or (None,) * 3, strict=True)),
    }


def read_again(row: Mapping[str, Any]) -> LogOdds:
    """The answer of a row of `judgments`, from what is stored: from the candidates where the judge tells them, else from the
    log-odds."""
    if row["evidence"] is None:
        return LogOdds.unread(row["reason"]) if row["log_odds"] is None else LogOdds(row["log_odds"], row["mass"])
    stored = json.loads(row["evidence"])
    listed = {token: math.nan if value is None else value for token, value in stored["listed"].items()}
    return read(Evidence(**stored | {"listed": listed, "shown": tuple(stored["shown"])}))


def _as_json(evidence: Evidence) -> str:
    listed = {token: None if math.isnan(value) else value for token, value in evidence.listed.items()}
    return json.dumps(asdict(evidence) | {"listed": listed})


def _open(path: Path, evaluation: Evaluation) -> list[_Open]:
    criteria = evaluation.benchmark.criteria
    with store.reading(path) as con:
        items = items_of(con, evaluation.config, writer=evaluation.writer)
        videos = {row["video_id"]: row for row in store.query(con, "SELECT video_id, path, sha256 FROM videos")}
        done = {
            (row["video_id"], row["question_version"], row["question_sha256"])
            for row in store.query(
                con,
                "SELECT video_id, question_version, question_sha256 FROM judgments WHERE judge = ? AND log_odds IS NOT NULL",
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


def _in_batches(wanted: Sequence[_Open], videos: int) -> Iterator[list[tuple[_Open, Video | None]]]:
    """The judgments with the videos that they are about, None for one without an intact file; at most so many videos, and so
    many bytes of them, at a time. A video is read once for all questions about it."""
    batch: list[tuple[_Open, Video | None]] = []
    files, size = dict[Path, Video | None](), 0
    for each in wanted:
        if each.path not in files:
            if len(files) == videos or size > MOST_BYTES:
                yield batch
                batch, files, size = [], {}, 0
            video = clips.read(each.path) if clips.intact(each.path, each.sha256) else None
            files[each.path], size = video, size + (0 if video is None else video.nbytes)
        batch.append((each, files[each.path]))
    if batch:
        yield batch


def _ask(
    vlm: VisionLanguageModel, batch: Sequence[tuple[_Open, Video | None]]
) -> list[tuple[LogOdds, tuple[int, ...]]]:
    """One answer per wanted judgment, in order, with frames, height and width of what was handed over. What has no intact
    file is not asked about."""
    askable = [(wanted.question, video) for wanted, video in batch if video is not None]
    answers = iter(vlm.log_odds([q for q, _ in askable], [video for _, video in askable]) if askable else [])
    lost = "the video file is missing or damaged; generate it again"
    return [(LogOdds.unread(lost), ()) if video is None else (next(answers), video.shape[:3]) for _, video in batch]
