"""What the judge says of controls: on a sample of the videos, with the right answer known."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import duckdb

from wmsd_core import store
from wmsd_core.arrays import Video
from wmsd_core.bench import statistics
from wmsd_core.bench.benchmark import Arm, Criterion, Item
from wmsd_core.bench.controls import Control
from wmsd_core.bench.evaluation import Evaluation
from wmsd_core.bench.judging import Judged, Wanted, judge
from wmsd_core.bench.scores import Outcome, outcomes
from wmsd_core.config import digest
from wmsd_core.frames.videos import beginning
from wmsd_core.vlm import VisionLanguageModel

MOST_WRONG = 0.1
"""A question that is answered wrongly on more than this share of a control does not see what the control is about."""
RATE = 24.0
"""Frames per second at which a real video is taken."""


@dataclass(frozen=True)
class Finding:
    """One question on one control."""

    control: Control
    criterion: Criterion
    good: int
    """Verdicts that the criterion is fulfilled."""
    valid: int
    asked: int
    low: float | None
    high: float | None
    """95 % interval of `rate` by picture."""

    @property
    def expected(self) -> bool:
        """The right verdict."""
        return self.control.expected[self.criterion.name]

    @property
    def rate(self) -> float | None:
        """The share of fulfilled verdicts; None without a valid one."""
        return self.good / self.valid if self.valid else None

    @property
    def fails(self) -> bool:
        """Whether more than `MOST_WRONG` of the valid verdicts are wrong."""
        wrong = self.valid - self.good if self.expected else self.good
        return wrong > MOST_WRONG * self.valid


def judge_controls(path: Path, vlm: VisionLanguageModel, evaluation: Evaluation) -> Judged:
    """Asks what is missing about the controls. Judge the videos first: controls are made of those that fulfil everything.

    Raises:
        ValueError: the model is not the judge of the evaluation.
    """
    with store.reading(path) as con:
        wanted = [each for _, _, each in _wanted(con, evaluation)]
    return judge(path, vlm, evaluation, wanted)


def findings(con: duckdb.DuckDBPyConnection, evaluation: Evaluation) -> list[Finding]:
    """Every question on every control that could be made, in their order."""
    rows = store.query(
        con,
        "SELECT video_id, question_sha256, verdict FROM judgments WHERE control <> '' AND judge = ?",
        [evaluation.judge],
    )
    verdicts = {(row["video_id"], row["question_sha256"]): row["verdict"] for row in rows}
    by_question: defaultdict[tuple[str, str], list[tuple[str, bool | None]]] = defaultdict(list)
    for picture, control, each in _wanted(con, evaluation):
        verdict = verdicts.get((each.video_id, each.question.sha256))
        by_question[control.name, each.criterion].append((picture, verdict))
    return [
        _counted(control, criterion, found)
        for control in evaluation.benchmark.controls
        for criterion in evaluation.benchmark.criteria
        if (found := by_question.get((control.name, criterion.name)))
    ]


def _counted(control: Control, criterion: Criterion, found: Sequence[tuple[str, bool | None]]) -> Finding:
    by_picture: defaultdict[str, list[int]] = defaultdict(list)
    for picture, verdict in found:
        if verdict is not None:
            by_picture[picture].append(int(verdict))
    sums, sizes = [sum(group) for group in by_picture.values()], [len(group) for group in by_picture.values()]
    interval = statistics.mean_interval(sums, sizes) if sizes else None
    ends = (interval.low, interval.high) if interval else (None, None)
    return Finding(control, criterion, sum(sums), sum(sizes), len(found), *ends)


def _wanted(con: duckdb.DuckDBPyConnection, evaluation: Evaluation) -> Iterator[tuple[str, Control, Wanted]]:
    """What is to be asked, with the picture or film that it is about."""
    if not evaluation.config.controls:
        return
    by_arm = outcomes(con, evaluation)
    sources = _sources(by_arm, evaluation.config.controls)
    others = _other_tasks([outcome.item for outcome in next(iter(by_arm.values()))])
    films = _films(con)
    for control in evaluation.benchmark.controls:
        for picture, item, source, change in _cases(control, sources, others, films):
            name = digest([source.video_id, control.name, picture])
            for criterion in evaluation.benchmark.criteria:
                if criterion.name in control.expected:
                    question = criterion.question.about(task=item.task)
                    file = Path(source.video), source.sha256
                    yield picture, control, Wanted(name, *file, criterion.name, question, control.name, change)


def _cases(
    control: Control, sources: Sequence[Outcome], others: Mapping[str, Item], films: Sequence[tuple[str, Path]]
) -> Iterator[tuple[str, Item, Outcome, Callable[[Video], Video] | None]]:
    """Picture or film, whose task is asked about, the video, and what is done to it."""
    if control.shown == "a real video":
        for source, (frame, film) in zip(sources, films, strict=False):
            yield frame, source.item, source, partial(_filmed, path=film)
        return
    for source in sources:
        of = source.item
        item = others.get(of.item_id) if control.shown == "the video, for another task" else of
        if item:
            yield of.frame.frame_id, item, source, control.change


def _sources(by_arm: Mapping[Arm, Sequence[Outcome]], most: int) -> list[Outcome]:
    """One video of an item each. Those that fulfil everything come first, so that a control spoils something; the order is
    that of the draw, which is random, and of arms the last that was named."""
    found: dict[str, Outcome] = {}
    for same_item in zip(*by_arm.values(), strict=True):
        made = [outcome for outcome in reversed(same_item) if outcome.video]
        if made:
            best = next((outcome for outcome in made if outcome.points("all") == 1), made[0])
            found[best.item.item_id] = best
    return sorted(found.values(), key=lambda outcome: outcome.points("all") != 1)[:most]


def _other_tasks(items: Sequence[Item]) -> dict[str, Item]:
    """Item id -> the next item of the same picture with another task."""
    by_picture: defaultdict[str, list[Item]] = defaultdict(list)
    for item in items:
        by_picture[item.frame.frame_id].append(item)
    return {
        item.item_id: other
        for same in by_picture.values()
        for place, item in enumerate(same)
        if (other := next((o for o in same[place + 1 :] + same[:place] if o.task != item.task), None))
    }


def _films(con: duckdb.DuckDBPyConnection) -> list[tuple[str, Path]]:
    """Videos that frames were taken from, by the id of one of these frames."""
    rows = store.query(
        con, "SELECT min(frame_id) AS frame, video FROM frames WHERE video <> '' GROUP BY video ORDER BY frame"
    )
    return [(row["frame"], Path(row["video"])) for row in rows]


def _filmed(video: Video, *, path: Path) -> Video:
    """The beginning of a film, as many frames as `video` has."""
    return beginning(path, frames=len(video), fps=RATE)
