"""What a study found, in one small file: every verdict, so that all statistics can be made again without a run.

One JSON object a line, of a kind: `board` (items and judge), `run` (what was trained, at what cost), `measurement` (verdicts of
one step on one board, a character for each item).
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from wmsd_core.bench.benchmark import Item
from wmsd_core.bench.run import EvaluationRun
from wmsd_core.bench.scores import Outcome
from wmsd_core.config import Config
from wmsd_core.files import replacing
from wmsd_core.frames import Frame
from wmsd_core.studies.study import Board, Planned
from wmsd_core.training.config import TrainConfig

SHORT = 16
"""Hex digits that an item goes by."""
_MARKS: Mapping[bool | None, str] = {True: "1", False: "0", None: "-"}
_VERDICTS = {mark: verdict for verdict, mark in _MARKS.items()}


class BoardLine(Config):
    """The items of one half, and how they are measured: the same for every arm."""

    kind: Literal["board"] = "board"
    board: Board
    benchmark: str
    items: list[str]
    """Beginnings of their ids, in the order of the draw."""
    pictures: list[int]
    """The picture of each item, by a number."""
    model: str
    """Checksum of the base."""
    judge: str
    questions: dict[str, str]
    """Criterion -> SHA-256 of its question."""
    noise: int
    """The seed of the noise of every video."""


class RunLine(Config):
    """One run of an arm: what it is, and what it cost."""

    kind: Literal["run"] = "run"
    arm: str
    seed: int | None
    """None where nothing is trained."""
    key: str
    """`Planned.key` of what was run."""
    run_id: str = ""
    """Of the training run, by settings, base and training set."""
    adapter: str = ""
    """SHA-256 of what it ended with."""
    steps: int = 0
    rollouts: int = 0
    """Videos that were sampled in training."""
    forwards: int = 0
    """Passes of the network in training."""
    cpu_seconds: float = 0.0
    """Processor time of training; 0 in runs of before it was counted."""
    seconds: float = 0.0
    """The same by the clock: more where the machine has other work."""
    failed: str = ""
    """Why there is no measurement, where there is none."""


class MeasurementLine(Config):
    """The verdicts on one step of one run."""

    kind: Literal["measurement"] = "measurement"
    arm: str
    seed: int | None
    step: int
    board: Board
    sampler: str
    """Of the measured videos; an arm may have one of its own."""
    verdicts: dict[str, str]
    """Criterion -> 1, 0 or - (none) for each item of the board."""


Line = BoardLine | RunLine | MeasurementLine
_LINE: TypeAdapter[Line] = TypeAdapter(Line)


@dataclass(frozen=True)
class Results:
    """The content of a results file."""

    boards: Mapping[Board, BoardLine] = field(default_factory=dict[Board, BoardLine])
    runs: tuple[RunLine, ...] = ()
    measurements: tuple[MeasurementLine, ...] = ()

    def seeds(self, arm: str, board: Board, step: int) -> dict[int | None, list[Outcome]]:
        """Seed -> outcomes of an arm's step, items in the order of the board."""
        return {
            line.seed: self._outcomes(line)
            for line in self.measurements
            if (line.arm, line.board, line.step) == (arm, board, step)
        }

    def steps(self, arm: str, board: Board) -> list[int]:
        """The steps of an arm that were measured."""
        return sorted({line.step for line in self.measurements if (line.arm, line.board) == (arm, board)})

    def _outcomes(self, line: MeasurementLine) -> list[Outcome]:
        board = self.boards[line.board]
        return [
            Outcome(
                Item(item, Frame(str(picture), Path(), "", 0, 0), ""),
                line.arm,
                "",
                {criterion: _VERDICTS[marks[place]] for criterion, marks in line.verdicts.items()},
                {},
            )
            for place, (item, picture) in enumerate(zip(board.items, board.pictures, strict=True))
        ]

    def whole(self, run: Planned) -> bool:
        """Whether a run as it is planned has not failed, and was measured at each of its steps."""
        found = {(line.board, line.step) for line in self.measurements if (line.arm, line.seed) == (run.arm, run.seed)}
        made = any(
            (line.arm, line.seed, line.key, line.failed) == (run.arm, run.seed, run.key, "") for line in self.runs
        )
        return made and found >= {(board, config.at_step or 0) for board, config in run.evaluations}

    def without(self, arm: str, seed: int | None) -> "Results":
        """All but one run."""
        return replace(
            self,
            runs=tuple(line for line in self.runs if (line.arm, line.seed) != (arm, seed)),
            measurements=tuple(line for line in self.measurements if (line.arm, line.seed) != (arm, seed)),
        )

    def having(self, lines: Iterable[Line]) -> "Results":
        """With one run's lines in place of what was known of it.

        Raises:
            ValueError: a board is another one than that of the runs before.
        """
        found = self
        for line in lines:
            match line:
                case RunLine():
                    found = replace(
                        found.without(line.arm, line.seed), runs=(*found.without(line.arm, line.seed).runs, line)
                    )
                case MeasurementLine():
                    found = replace(found, measurements=(*found.measurements, line))
                case BoardLine():
                    known = found.boards.get(line.board, line)
                    if known != line:
                        differ = [
                            name for name in BoardLine.model_fields if getattr(known, name) != getattr(line, name)
                        ]
                        raise ValueError(
                            f"the {line.board} half is another one than in the results so far ({', '.join(differ)} differ): "
                            "use the workspace that they were made in, or move the results away and begin again"
                        )
                    found = replace(found, boards={**found.boards, line.board: line})
        return found

    def only(self, plan: Iterable[Planned]) -> tuple["Results", list[str]]:
        """What belongs to these runs, in their order; and the runs that were made with other settings, or are not planned."""
        wanted = {(run.arm, run.seed): (place, run.key) for place, run in enumerate(plan)}
        stale = [line for line in self.runs if wanted.get((line.arm, line.seed), (0, ""))[1] != line.key]
        found = self
        for line in stale:
            found = found.without(line.arm, line.seed)
        measured = [line for line in found.measurements if (line.arm, line.seed) in wanted]
        used = {line.board for line in measured}
        ordered = Results(
            boards={board: line for board, line in found.boards.items() if board in used},
            runs=tuple(sorted(found.runs, key=lambda line: wanted[line.arm, line.seed][0])),
            measurements=tuple(sorted(measured, key=lambda m: (wanted[m.arm, m.seed][0], m.step, m.board))),
        )
        return ordered, [f"{line.arm}, seed {line.seed}" for line in stale]


def parsed(lines: Iterable[Mapping[str, Any]]) -> list[Line]:
    """Lines from plain JSON."""
    return [_LINE.validate_python(line) for line in lines]


def load(path: Path) -> Results:
    """The results in a file; none where there is no file.

    Raises:
        ValueError: a line is damaged.
    """
    if not path.is_file():
        return Results()
    lines: list[Line] = []
    for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            lines.append(_LINE.validate_json(text))
        except ValidationError as error:
            raise ValueError(
                f"{path}, line {number}, is no line of results: restore the file ({error.errors()[0]['msg']})"
            ) from error
    return Results().having(lines)


def save(path: Path, results: Results) -> None:
    """Writes all of it, or nothing."""
    lines = [*results.boards.values(), *results.runs, *results.measurements]
    with replacing(path) as partial:
        partial.write_text("".join(line.model_dump_json() + "\n" for line in lines), encoding="utf-8")


def board_line(board: Board, run: EvaluationRun) -> BoardLine:
    """What one evaluation says of its board."""
    numbers = {picture: number for number, picture in enumerate(dict.fromkeys(run.pictures))}
    evaluation = run.evaluation
    return BoardLine(
        board=board,
        benchmark=run.benchmark,
        items=[item[:SHORT] for item in run.items],
        pictures=[numbers[picture] for picture in run.pictures],
        model=evaluation.model,
        judge=evaluation.judge,
        questions=run.questions,
        noise=evaluation.config.seed,
    )


def measurement_line(planned: Planned, board: Board, step: int, run: EvaluationRun) -> MeasurementLine:
    """The verdicts of one evaluation."""
    (verdicts,) = run.verdicts.values()
    marks = {criterion: "".join(_MARKS[one] for one in each) for criterion, each in verdicts.items()}
    sampler = run.evaluation.config.sampler
    return MeasurementLine(arm=planned.arm, seed=planned.seed, step=step, board=board, sampler=sampler, verdicts=marks)


def run_line(planned: Planned, *, run_id: str, adapter: str, metrics: Path) -> RunLine:
    """A training run that is finished, and its cost by its own metrics."""
    rows = [json.loads(line) for line in metrics.read_text(encoding="utf-8").splitlines()]
    return RunLine(
        arm=planned.arm,
        seed=planned.seed,
        key=planned.key,
        run_id=run_id,
        adapter=adapter,
        steps=planned.recipe.train.steps,
        rollouts=rollouts(planned.recipe.train),
        forwards=sum(row["forwards"] for row in rows),
        cpu_seconds=round(sum(row["speed"].get("cpu_seconds", 0.0) for row in rows), 1),
        seconds=round(sum(sum(row["seconds"].values()) for row in rows), 1),
    )


def rollouts(train: TrainConfig) -> int:
    """Videos that a run samples from noise to the end: none in the warm-up, and none where it learns from recordings."""
    if train.lesson_at(0).actor is None:
        return 0
    return max(train.steps - train.warm_up, 0) * train.tasks_per_step * train.group_size
