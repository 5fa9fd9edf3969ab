"""Asking about the videos: a yes/no question for each criterion, read from the stored files.

Whatever the arm was told, the questions name the short task: an arm is judged by the goal, not by its instructions.
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from wmsd_core import store
from wmsd_core.arrays import Video
from wmsd_core.bench.clock import Clock
from wmsd_core.bench.evaluation import Evaluation
from wmsd_core.bench.scores import outcomes
from wmsd_core.bench.submission import LEAST_FRAMES, too_short
from wmsd_core.frames import clips
from wmsd_core.frames.refusal import failed
from wmsd_core.vlm import LogOdds, Question, VisionLanguageModel, judge_of
from wmsd_core.vlm.protocol import Evidence
from wmsd_core.vlm.yes_no import read

LOST = "the video file is missing or damaged; make it again"
UNCHANGED = "the control leaves this video as it is"
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
class Wanted:
    """A judgment to be had: a question about a video."""

    video_id: str
    path: Path
    sha256: str
    criterion: str
    question: Question
    control: str = ""
    """What is done to the video, or to its task; '' for one that is judged as it is."""
    change: Callable[[Video], Video] | None = None


def judge_videos(path: Path, vlm: VisionLanguageModel, evaluation: Evaluation) -> Judged:
    """Judges the videos of an evaluation that have no verdict yet.

    Raises:
        ValueError: the model is not the judge of the evaluation.
    """
    with store.reading(path) as con:
        wanted = _about_videos(con, evaluation)
    return judge(path, vlm, evaluation, wanted)


def judge(path: Path, vlm: VisionLanguageModel, evaluation: Evaluation, wanted: Sequence[Wanted]) -> Judged:
    """Asks for those judgments that are not there yet, one batch and one transaction at a time.

    A judgment that could not be obtained is stored as NULL with its reason: never as a failure, and asked again next
    time. One whose question reads otherwise now, version or no version, is no verdict on it, and is asked again too.

    Raises:
        ValueError: the model is not the judge of the evaluation.
    """
    if judge_of(vlm) != evaluation.judge:
        raise ValueError(f"the evaluation is judged by '{evaluation.judge}', the model given is '{judge_of(vlm)}'")
    asked = unread = 0
    for batch in _in_batches(_unanswered(path, wanted, evaluation.judge), evaluation.config.batch):
        clock = Clock()
        answers = _ask(vlm, batch)
        clock.book("judging")
        seconds = clock.seconds["judging"] / len(batch)
        rows = [
            _row(each, answer, shape, evaluation) | {"seconds": seconds}
            for (each, _), (answer, shape) in zip(batch, answers, strict=True)
        ]
        with store.writing(path) as con:
            store.insert(con, "judgments", rows, replace=True)
        asked += len(rows)
        unread += sum(row["log_odds"] is None for row in rows)
    return Judged(asked, unread)


def _row(wanted: Wanted, answer: LogOdds, shape: tuple[int, ...], evaluation: Evaluation) -> dict[str, Any]:
    evidence = answer.evidence
    return {
        "benchmark": evaluation.benchmark.name,
        "video_id": wanted.video_id,
        "criterion": wanted.criterion,
        "question_version": wanted.question.asked,
        "question_sha256": wanted.question.sha256,
        "text_sha256": wanted.question.text_sha256,
        "judge": evaluation.judge,
        "control": wanted.control,
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


def _about_videos(con: duckdb.DuckDBPyConnection, evaluation: Evaluation) -> list[Wanted]:
    return [
        Wanted(outcome.video_id, Path(outcome.video), outcome.sha256, name, question)
        for found in outcomes(con, evaluation).values()
        for outcome in found
        if outcome.video
        for name, question in outcome.questions.items()
    ]


def _unanswered(path: Path, wanted: Sequence[Wanted], judge: str) -> list[Wanted]:
    sql = "SELECT video_id, question_version, question_sha256 FROM judgments WHERE judge = ? AND log_odds IS NOT NULL"
    with store.reading(path) as con:
        done = {tuple(row.values()) for row in store.query(con, sql, [judge])}
    return [each for each in wanted if (each.video_id, each.question.asked, each.question.sha256) not in done]


def _in_batches(wanted: Sequence[Wanted], videos: int) -> Iterator[list[tuple[Wanted, Video | str]]]:
    """The judgments with the videos that they are about, or with the reason why there is none; at most so many videos, and so
    many bytes of them, at a time. A video is read once for all questions about it."""
    batch: list[tuple[Wanted, Video | str]] = []
    held: dict[str, Video | str] = {}
    size = 0
    for each in wanted:
        if each.video_id not in held:
            if len(held) == videos or size > MOST_BYTES:
                yield batch
                batch, held, size = [], {}, 0
            video = held[each.video_id] = _video(each)
            size += 0 if isinstance(video, str) else video.nbytes
        batch.append((each, held[each.video_id]))
    if batch:
        yield batch


def _video(wanted: Wanted) -> Video | str:
    """What is shown, or why nothing is."""
    if not clips.intact(wanted.path, wanted.sha256):
        return LOST
    try:
        video = clips.read(wanted.path)
        changed = wanted.change(video) if wanted.change else video
    except Exception as error:
        return str(failed(error))
    if len(video) < LEAST_FRAMES:
        return too_short(len(video))
    return UNCHANGED if wanted.change and np.array_equal(changed, video) else changed


def _ask(
    vlm: VisionLanguageModel, batch: Sequence[tuple[Wanted, Video | str]]
) -> list[tuple[LogOdds, tuple[int, ...]]]:
    """One answer per wanted judgment, in order, with frames, height and width of what was handed over."""
    askable = [(wanted.question, video) for wanted, video in batch if not isinstance(video, str)]
    answers = iter(vlm.log_odds([q for q, _ in askable], [video for _, video in askable]) if askable else [])
    return [
        (LogOdds.unread(video), ()) if isinstance(video, str) else (next(answers), video.shape[:3])
        for _, video in batch
    ]
