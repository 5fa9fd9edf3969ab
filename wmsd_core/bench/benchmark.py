"""What a benchmark is: items, questions about the videos made of them, and what has been published.

Each benchmark is one value, made by one file of `suites/` or by anybody's `package.module:factory`. Generation, judging, scores
and report know no other source of criteria.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import duckdb

from wmsd_core import registry, seeds
from wmsd_core.bench import naming
from wmsd_core.bench.controls import Control
from wmsd_core.bench.submission import Submission
from wmsd_core.frames import Frame
from wmsd_core.vlm import Question

BENCHMARKS = {
    "worldtasks": "wmsd_core.bench.suites.worldtasks:worldtasks",
    "worldtasks-selection": "wmsd_core.bench.suites.worldtasks:selection",
    "worldtasks-test": "wmsd_core.bench.suites.worldtasks:test",
    "dreamgen": "wmsd_core.bench.suites.dreamgen.suite:trained",
    "dreamgen-zero-shot": "wmsd_core.bench.suites.dreamgen.suite:zero_shot",
}

Arm = str
"""What made a video: an own arm, or the name of clips from elsewhere."""
OwnArm = Literal["base", "demonstrator", "vlm", "executor"]
"""How an item is solved here:

    base          short task,        frozen base
    demonstrator  detailed solution, frozen base
    executor      short task,        trained adapter (its moving average)
    vlm           a solution that a VLM writes from first frame and task alone, frozen base; only if asked for
"""
ARMS: tuple[OwnArm, ...] = ("base", "demonstrator", "executor")
"""What is run unless asked for otherwise."""


@dataclass(frozen=True)
class Item:
    """One task with the picture that it starts from."""

    item_id: str
    """SHA-256 of picture and task: what was made of an item is found again by it, so two items must not share it."""
    frame: Frame
    task: str
    solution: str = ""
    """How the task is done; '' where the benchmark has none, and the arm demonstrator then makes no video."""
    written: str = ""
    """The solution that the evaluation's writer has given for picture and task; '' where there is none."""

    def text(self, arm: Arm) -> str:
        """What the generator is told; '' where nobody has written it."""
        match arm:
            case "demonstrator":
                return self.solution
            case "vlm":
                return self.written
            case _:
                return self.task

    def seed(self, run_seed: int) -> int:
        """The noise seed, equal for all arms."""
        return seeds.derive(run_seed, "eval", self.item_id)


@dataclass(frozen=True)
class Criterion:
    """One thing that is asked about every video."""

    name: str
    title: str
    meaning: str
    """What a fulfilled criterion says, in a few words."""
    question: Question
    """As a template, in which {task} stands for the item's task; its `good` answer is the polarity."""


@dataclass(frozen=True)
class Grouping:
    """Items by category, and the measure that is shown for each category."""

    title: str
    measure: str
    labels: Mapping[str, str]
    """Item id -> category; items without a label are left out."""
    labeller: str
    """Who gave the labels."""


@dataclass(frozen=True)
class Published:
    """Scores of others, for context."""

    title: str
    """Which table of which text, and under what conditions."""
    rows: Mapping[str, Mapping[str, float]]
    """Method -> measure -> score in [0, 1]. What is no measure of the benchmark, such as a kind of items, is its own title."""

    def columns(self, measures: Sequence[str]) -> list[str]:
        """What there are scores of, measures first, in their order."""
        given = next(iter(self.rows.values()))
        return [
            *(measure for measure in measures if measure in given),
            *(name for name in given if name not in measures),
        ]


def _ungrouped(con: duckdb.DuckDBPyConnection, items: Sequence[Item]) -> list[Grouping]:
    return []


def _by_name(con: duckdb.DuckDBPyConnection, items: Sequence[Item], folder: Path) -> Submission:
    return naming.read(folder, {item.item_id: item.task for item in items})


@dataclass(frozen=True)
class Benchmark:
    """A benchmark. Its `name` stands in every row that it caused."""

    name: str
    """Lower-case letters, digits and hyphens."""
    title: str
    source: str
    """Where it is described."""
    licence: str
    criteria: tuple[Criterion, ...]
    """The first one decides among videos that fulfil equally many."""
    items: Callable[[duckdb.DuckDBPyConnection, int], Sequence[Item]]
    """At most so many items of a store, always the same ones first."""
    absent: str
    """What to do where there is no item."""
    expected: int | None = None
    """Items that the published benchmark has; the report says if there are fewer."""
    text: Callable[[Item, Arm], str] = Item.text
    """What the generator is told."""
    published: Published | None = None
    groupings: Callable[[duckdb.DuckDBPyConnection, Sequence[Item]], list[Grouping]] = _ungrouped
    controls: tuple[Control, ...] = ()
    """What the judge is tried on beside the videos."""
    clips: Callable[[duckdb.DuckDBPyConnection, Sequence[Item], Path], Submission] = _by_name
    """Whose items the videos of a folder are that somebody else made. Subjects of what is found are item ids."""

    def __post_init__(self) -> None:
        names = [criterion.name for criterion in self.criteria]
        if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", self.name):
            raise ValueError(f"a benchmark's name has lower-case letters, digits and hyphens, not '{self.name}'")
        if not names or len(set(names)) < len(names) or {"all", "average"} & set(names):
            raise ValueError(
                f"criteria of '{self.name}' need names of their own, and 'all' and 'average' are taken: {names}"
            )
        if unknown := {name for control in self.controls for name in control.expected} - set(names):
            raise ValueError(f"controls of '{self.name}' name no criterion of it: {', '.join(sorted(unknown))}")

    @property
    def measures(self) -> tuple[str, ...]:
        """The criteria; `all`: all of them are fulfilled; `average`: their mean. The last two need every verdict."""
        return (*(criterion.name for criterion in self.criteria), "all", "average")

    def describe(self, measure: str) -> tuple[str, str]:
        """Title and meaning of a measure."""
        texts = {criterion.name: (criterion.title, criterion.meaning) for criterion in self.criteria}
        *names, last = (criterion.name for criterion in self.criteria)
        together = f"{', '.join(names)} and {last}" if names else last
        return (
            texts.get(measure)
            or {
                "all": ("All", f"{together} in one video"),
                "average": ("Average", f"mean of {together}"),
            }[measure]
        )


def named(name: str) -> Benchmark:
    """The benchmark called `name`: a known one, or `package.module:factory` of a factory without arguments, which is called
    wherever the benchmark is needed: it reads nothing large, `items` does.

    Raises:
        ValueError: there is none of this name, it cannot be loaded, or it is no benchmark.
    """
    found: Any = registry.make(name, BENCHMARKS, "benchmark")
    if not isinstance(found, Benchmark):
        raise ValueError(f"benchmark '{name}' is of type {type(found).__name__}: its factory must return a Benchmark")
    return found
