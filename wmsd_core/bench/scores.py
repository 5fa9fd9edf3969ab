"""From verdicts to scores: over valid judgments only, with numerator, denominator and failure rate (paper A.4)."""

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any

import duckdb

from wmsd_core import store
from wmsd_core.bench import statistics
from wmsd_core.bench.benchmark import Arm, Item
from wmsd_core.bench.evaluation import Evaluation, items_of, video_id
from wmsd_core.bench.pictures import stored
from wmsd_core.bench.run import EvaluationRun, PictureScores
from wmsd_core.bench.timing import Seconds, timings
from wmsd_core.config import Config, digest
from wmsd_core.frames import Frame
from wmsd_core.vlm import Question

_FIGURES = re.compile(r"\d+(\.\d+)?(e[-+]?\d+)?|'[^']*'|\"[^\"]*\"")
NO_VIDEO = "its video is not there"
NOT_JUDGED = "it has not been asked about"


@dataclass(frozen=True)
class Outcome:
    """The verdicts on one video; None where there is none, or it could not be read."""

    item: Item
    arm: Arm
    video: str
    """Path of the file; '' where it was not generated."""
    verdicts: dict[str, bool | None]
    """Criterion -> verdict, for every criterion of the benchmark."""
    log_odds: dict[str, float | None]
    """Criterion -> log-odds of the good answer, in nats."""
    missing: Mapping[str, str] = field(default_factory=dict[str, str])
    """Criterion -> why there is no verdict, for those without one."""
    questions: Mapping[str, Question] = field(default_factory=dict[str, Question])
    """Criterion -> what the judge is asked about this video."""
    video_id: str = ""
    sha256: str = ""
    """Of the file."""

    def points(self, measure: str) -> int | None:
        """Points on a measure, None where it is invalid: 0 or 1, for the average the number of criteria fulfilled."""
        if measure in self.verdicts:
            verdict = self.verdicts[measure]
            return None if verdict is None else int(verdict)
        if None in self.verdicts.values():
            return None
        fulfilled = sum(map(bool, self.verdicts.values()))
        return fulfilled if measure == "average" else int(fulfilled == len(self.verdicts))

    def full_points(self, measure: str) -> int:
        """The most points that one item can have on a measure."""
        return len(self.verdicts) if measure == "average" else 1


@dataclass(frozen=True)
class Score:
    """A row of `evaluations`."""

    arm: str
    measure: str
    successes: float
    """Sum over valid items; fractional for the average."""
    valid: int
    expected: int
    score: float | None
    """successes / valid; None without a valid judgment."""
    low: float | None
    high: float | None
    """95 % interval by picture (`statistics.mean_interval`)."""
    pictures: int
    """Distinct pictures among the valid items."""

    @property
    def failure_rate(self) -> float:
        """The share of items without a valid judgment."""
        return 1 - self.valid / self.expected


def score(arm: str, measure: str, found: Sequence[Outcome]) -> Score:
    """Counts one measure of one arm over its items."""
    by_picture: defaultdict[str, list[int]] = defaultdict(list)
    for outcome in found:
        points = outcome.points(measure)
        if points is not None:
            by_picture[outcome.item.frame.frame_id].append(points)
    if not by_picture:
        return Score(arm, measure, 0.0, 0, len(found), None, None, None, 0)
    full = found[0].full_points(measure)
    sizes = [len(group) for group in by_picture.values()]
    successes, valid = sum(map(sum, by_picture.values())) / full, sum(sizes)
    interval = statistics.mean_interval([sum(group) / full for group in by_picture.values()], sizes)
    return Score(arm, measure, successes, valid, len(found), successes / valid, interval.low, interval.high, len(sizes))


@dataclass(frozen=True)
class Missing:
    """Judgments of an arm that are missing for one reason."""

    arm: str
    reason: str
    """With figures, which differ from video to video, as a dot."""
    judgments: int
    of: int
    """All judgments that the arm should have."""


def missing(by_arm: Mapping[Arm, Sequence[Outcome]]) -> list[Missing]:
    """Missing judgments by arm and reason, the most frequent first."""
    found: list[Missing] = []
    for arm, videos in by_arm.items():
        reasons = Counter(_FIGURES.sub("·", why) for outcome in videos for why in outcome.missing.values())
        of = sum(len(outcome.verdicts) for outcome in videos)
        found += [Missing(arm, reason, count, of) for reason, count in reasons.most_common()]
    return found


def outcomes(con: duckdb.DuckDBPyConnection, evaluation: Evaluation) -> dict[Arm, list[Outcome]]:
    """The outcome of every item for every arm, items in the order of the draw, also where a video is missing.

    Raises:
        ValueError: the benchmark has no item here.
    """
    criteria = evaluation.benchmark.criteria
    items = items_of(con, evaluation.config, writer=evaluation.writer)
    videos = {row["video_id"]: row for row in store.query(con, "SELECT video_id, path, sha256, fps FROM videos")}
    rows = store.query(
        con,
        """
        SELECT video_id, criterion, question_sha256, verdict, log_odds, reason FROM judgments
        WHERE judge = ? AND list_contains(?, question_version) ORDER BY video_id
        """,
        [evaluation.judge, [criterion.question.asked for criterion in criteria]],
    )
    judged = {video: list(group) for video, group in groupby(rows, key=lambda row: row["video_id"])}

    def outcome(item: Item, arm: Arm) -> Outcome:
        name = video_id(item, arm, evaluation)
        verdicts: dict[str, bool | None] = dict.fromkeys(criterion.name for criterion in criteria)
        log_odds: dict[str, float | None] = dict.fromkeys(verdicts)
        missing = dict.fromkeys(verdicts, NOT_JUDGED if name in videos else NO_VIDEO)
        found = videos.get(name, {"path": "", "sha256": "", "fps": None})
        questions = {c.name: replace(c.question.about(task=item.task), fps=found["fps"]) for c in criteria}
        asked = {criterion: question.sha256 for criterion, question in questions.items()}
        for row in judged.get(name, ()):
            if row["question_sha256"] != asked.get(row["criterion"]):
                continue
            verdicts[row["criterion"]] = row["verdict"]
            log_odds[row["criterion"]] = row["log_odds"]
            missing[row["criterion"]] = row["reason"]
        missing = {criterion: reason for criterion, reason in missing.items() if verdicts[criterion] is None}
        return Outcome(item, arm, found["path"], verdicts, log_odds, missing, questions, name, found["sha256"])

    return {arm: [outcome(item, arm) for item in items] for arm in evaluation.config.everyone}


def scores(by_arm: dict[Arm, list[Outcome]], measures: Sequence[str]) -> list[Score]:
    """Every measure of every arm."""
    return [score(arm, measure, found) for arm, found in by_arm.items() for measure in measures]


def evaluation_id(items: list[Item], evaluation: Evaluation) -> str:
    """SHA-256 of benchmark, items with what each arm is told, weights, adapter, seed, sampler, judge and questions."""
    benchmark = evaluation.benchmark
    return digest(
        {
            "benchmark": benchmark.name,
            "items": [item.item_id for item in items],
            "texts": {arm: [benchmark.text(item, arm) for item in items] for arm in evaluation.config.everyone},
            "clips": {arm: [of.get(item.item_id) for item in items] for arm, of in evaluation.clips.items()},
            "writer": evaluation.writer,
            "model": evaluation.model,
            "adapter": evaluation.adapter,
            "seed": evaluation.config.seed,
            "sampler": evaluation.config.sampler,
            "judge": evaluation.judge,
            "questions": {c.name: [c.question.asked, c.question.sha256] for c in benchmark.criteria},
        }
    )


def videos_of(by_arm: Mapping[Arm, Sequence[Outcome]]) -> dict[Arm, list[tuple[str, str]]]:
    """Arm -> video id and item id of each item."""
    return {arm: [(outcome.video_id, outcome.item.item_id) for outcome in found] for arm, found in by_arm.items()}


def run_of(
    name: str,
    evaluation: Evaluation,
    by_arm: Mapping[Arm, Sequence[Outcome]],
    seconds: Mapping[Arm, Seconds],
    pictures: Mapping[Arm, PictureScores],
) -> EvaluationRun:
    """An evaluation that has just been counted, whole."""
    criteria = evaluation.benchmark.criteria
    items = [outcome.item for outcome in next(iter(by_arm.values()))]
    return EvaluationRun(
        evaluation_id=name,
        benchmark=evaluation.benchmark.name,
        evaluation=evaluation,
        items=[item.item_id for item in items],
        pictures=[item.frame.frame_id for item in items],
        questions={criterion.name: criterion.question.sha256 for criterion in criteria},
        verdicts={
            arm: {criterion.name: [outcome.verdicts[criterion.name] for outcome in found] for criterion in criteria}
            for arm, found in by_arm.items()
        },
        seconds=dict(seconds),
        picture_scores=dict(pictures),
    )


def recounted(run: EvaluationRun, arm: Arm) -> dict[str, Outcome]:
    """Item id -> the verdicts of an arm of a run, in the order of the draw."""
    found: dict[str, Outcome] = {}
    for place, (item, picture) in enumerate(zip(run.items, run.pictures, strict=True)):
        verdicts = {criterion: each[place] for criterion, each in run.verdicts[arm].items()}
        found[item] = Outcome(Item(item, Frame(picture, Path(), "", 0, 0), ""), arm, "", verdicts, {})
    return found


class Counted(Config):
    """What `count_verdicts` wrote: the summary of the stage, from which the report knows what to show."""

    evaluation: Evaluation
    evaluation_id: str
    items: int
    averages: dict[str, float | None]
    """Arm -> average score."""
    failure_rate: float
    """The share of the judgments that are missing."""


def count_verdicts(path: Path, evaluation: Evaluation) -> Counted:
    """Counts the verdicts of an evaluation and writes its rows of `evaluations`, in place of earlier ones.

    Raises:
        ValueError: the benchmark has no item here.
    """
    benchmark = evaluation.benchmark
    with store.writing(path) as con:
        by_arm = outcomes(con, evaluation)
        items = [outcome.item for outcome in next(iter(by_arm.values()))]
        name = evaluation_id(items, evaluation)
        counted = scores(by_arm, benchmark.measures)
        store.insert(con, "evaluations", [_row(name, benchmark.name, row) for row in counted], replace=True)
        run = {"evaluation_id": name, "benchmark": benchmark.name}
        seconds = timings(con, evaluation, videos_of(by_arm))
        pictures = stored(con, {arm: [outcome.video_id for outcome in found] for arm, found in by_arm.items()})
        record = run_of(name, evaluation, by_arm, seconds, pictures).model_dump_json()
        now = datetime.now(UTC).replace(tzinfo=None)
        store.insert(con, "evaluation_runs", [run | {"record": record, "counted": now}], replace=True)
    single = [row for row in counted if row.measure not in ("all", "average")]
    return Counted(
        evaluation=evaluation,
        evaluation_id=name,
        items=len(items),
        averages={row.arm: row.score for row in counted if row.measure == "average"},
        failure_rate=1 - sum(row.valid for row in single) / sum(row.expected for row in single),
    )


def rows_of(con: duckdb.DuckDBPyConnection, evaluation_id: str) -> list[dict[str, Any]]:
    """The rows of `evaluations` of one evaluation, rounded, as people read them; by criterion, then arm."""
    sql = """
        SELECT arm, criterion, round(score, 3) AS score, round(low, 3) AS low, round(high, 3) AS high,
               round(successes, 1) AS successes, valid, expected
        FROM evaluations WHERE evaluation_id = ? ORDER BY criterion, arm
    """
    return store.query(con, sql, [evaluation_id])


def _row(name: str, benchmark: str, row: Score) -> dict[str, object]:
    return {
        "evaluation_id": name,
        "benchmark": benchmark,
        "arm": row.arm,
        "criterion": row.measure,  # a criterion, `all` or `average`
        "successes": row.successes,
        "valid": row.valid,
        "expected": row.expected,
        "score": row.score,
        "low": row.low,
        "high": row.high,
    }
