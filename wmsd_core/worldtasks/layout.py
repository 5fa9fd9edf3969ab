"""The published layout of WorldTasks, read: `{split}/{split}.jsonl` beside `{split}/images/`.

The field names of the published files are not verified, so a line is read tolerantly, by lists of names to look for
(`ImportConfig`). It may hold one task and solution, lists of both, or a list of objects with one each; dots reach into
objects, so records of schema worldtask/1 are read as well as the flat lines that we write.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from pydantic import Field

from wmsd_core.config import Config
from wmsd_core.frames.names import existing, same
from wmsd_core.instruction import Parsed, parse
from wmsd_core.unicode import all_storable, storable
from wmsd_core.worldtasks.text import words

SplitName = Literal["train", "bench"]


class ImportConfig(Config):
    """Where a dataset keeps what: files by split, and the names of fields, of which the first that is there counts."""

    files: dict[SplitName, str] = Field(default={"train": "train/train.jsonl", "bench": "bench/bench.jsonl"})
    """File of each split, relative to the folder; the published set also has train/train_filtered.jsonl and others."""
    image: tuple[str, ...] = ("image.path", "image", "image_path", "file_name", "img", "frame", "first_frame")
    """Path of the picture, relative to the file, to images/ beside it, or to the folder; or only its name."""
    pairs: tuple[str, ...] = ("pairs", "tasks", "task_solution_pairs")
    """List of objects with a task and a solution each; not needed where a line is one pair."""
    task: tuple[str, ...] = ("prompt", "task", "task_prompt", "short_prompt", "instruction", "tasks")
    """The short task, "[Agent]: Task"; of several names, the one with a text of that form."""
    solution: tuple[str, ...] = ("solution", "solution_prompt", "detailed_prompt", "description", "solutions")
    """The detailed solution."""


_MOST = 2**31
"""Positions and seconds are below it; a value beyond is none, and is left out."""
_SHOWN = 200
"""Characters of what a line says that a fault repeats."""


class Fault(ValueError):
    """Why a line, or a pair of it, cannot be used: a short code and a sentence."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True)
class Line:
    """A line of a split's file."""

    split: SplitName
    file: Path
    number: int
    """From 1."""
    record: Mapping[str, Any]

    @property
    def name(self) -> str:
        return f"{self.file}:{self.number}"


@dataclass(frozen=True)
class Given:
    """A usable pair of a line, and what else the line tells about it."""

    parsed: Parsed
    solution: str
    position: int | None
    agent_type: str
    task_type: str
    labeller: str
    model: str
    prompt_version: str
    config_hash: str


class Layout:
    """A folder in this layout."""

    def __init__(self, folder: Path, config: ImportConfig) -> None:
        """Looks for the files.

        Raises:
            ValueError: there is no folder, or none of the files in it.
        """
        self.folder = folder.resolve()
        self.config = config
        if not self.folder.is_dir():
            raise ValueError(
                f"there is no folder {folder}; give the one that holds {' and '.join(config.files.values())}"
            )
        self.files: dict[SplitName, Path] = {
            split: self.folder / name for split, name in config.files.items() if (self.folder / name).is_file()
        }
        if not self.files:
            found = sorted(str(path.relative_to(self.folder)) for path in self.folder.glob("*/*.jsonl"))[:4]
            raise ValueError(
                f"{folder} has neither {' nor '.join(config.files.values())}; "
                f"it has {', '.join(found) or 'no */*.jsonl'}: name the file of each split with importing.files"
            )
        self._by_name: dict[str, list[Path]] | None = None

    def lines(self) -> Iterator[Line | tuple[str, Fault]]:
        """Every line, train first; for one that is no JSON object, its name and the fault."""
        for split, file in self.files.items():
            with file.open("rb") as lines:
                for number, text in enumerate(lines, start=1):
                    if not text.strip():
                        continue
                    try:
                        record = all_storable(json.loads(text))
                    except (ValueError, RecursionError) as error:
                        yield f"{file}:{number}", Fault("not_json", storable(str(error)))
                        continue
                    if isinstance(record, dict):
                        yield Line(split, file, number, cast(dict[str, Any], record))
                    else:
                        yield f"{file}:{number}", Fault("not_json", "the line is no JSON object")

    def picture(self, line: Line) -> Path:
        """The picture's file.

        Raises:
            Fault: no_image (none is named, or there is no such file), outside, or ambiguous.
        """
        said = _first(line.record, self.config.image)
        if not isinstance(said, str) or not said:
            raise Fault("no_image", f"none of {', '.join(self.config.image)} names a picture")
        for base in (line.file.parent, line.file.parent / "images", self.folder):
            path = existing(base, said)
            if path and path.is_file():
                if not path.resolve().is_relative_to(self.folder):
                    raise Fault("outside", f"{said} leads out of {self.folder}")
                return path
        named = self._named(Path(said).name)
        if len(named) > 1:
            raise Fault(
                "ambiguous", f"{len(named)} files are called {Path(said).name}, such as {named[0]} and {named[1]}"
            )
        if not named:
            raise Fault("no_image", f"there is no file {said[:_SHOWN]}")
        return named[0]

    def given(self, line: Line) -> Iterator[Given | Fault]:
        """The pairs of a line, or what is wrong with each."""
        several = _first(line.record, self.config.pairs)
        if isinstance(several, list) and several and all(isinstance(pair, dict) for pair in several):  # pyright: ignore[reportUnknownVariableType]
            for position, pair in enumerate(cast(list[dict[str, Any]], several)):
                yield self._given({**line.record, "position": position, **pair}, self._task(pair), position)
            return
        tasks, solutions = self._task(line.record), _first(line.record, self.config.solution)
        if isinstance(tasks, list) and isinstance(solutions, list):
            if len(tasks) != len(solutions):
                yield Fault("unequal", f"{len(tasks)} tasks and {len(solutions)} solutions")
                return
            for position, (task, solution) in enumerate(zip(tasks, solutions, strict=True)):
                yield self._given({**line.record, self.config.solution[0]: solution}, task, position)
            return
        yield self._given(line.record, tasks, None)

    def _task(self, record: Mapping[str, Any]) -> Any:
        """What the record says the task is: a text of the right form, if any field has one."""
        said = [value for name in self.config.task if (value := _reach(record, name)) not in (None, "")]
        return next((text for text in said if isinstance(text, str) and parse(text)), said[0] if said else None)

    def _given(self, record: Mapping[str, Any], task: Any, position: int | None) -> Given | Fault:
        solution = _first(record, self.config.solution)
        if not isinstance(task, str) or not words(task):
            return Fault("no_task", f"none of {', '.join(self.config.task)} has a text")
        if not isinstance(solution, str) or not words(solution):
            return Fault("no_solution", f"none of {', '.join(self.config.solution)} has a text")
        parsed = parse(task)
        if parsed is None:
            return Fault(
                "form", f'the task is not of the form "[Agent description]: Task instruction": {task[:_SHOWN]}'
            )
        said = _reach(record, "position")
        return Given(
            parsed=parsed,
            solution=" ".join(solution.split()),
            position=said if isinstance(said, int) and 0 <= said < _MOST else position,
            agent_type=_text(record, "types.agent", "agent_type"),
            task_type=_text(record, "types.task", "task_type"),
            labeller=_text(record, "types.labeller", "labeller"),
            model=_text(record, "gen.model", "model"),
            prompt_version=_text(record, "gen.prompt_version", "prompt_version"),
            config_hash=_text(record, "gen.config_hash", "config_hash"),
        )

    def _named(self, name: str) -> list[Path]:
        """Files of that name anywhere in the folder: the published images lie in shards. Listed once, when first needed."""
        if self._by_name is None:
            self._by_name = {}
            for path in sorted(self.folder.rglob("*")):
                if path.is_file() and path.resolve().is_relative_to(self.folder):
                    self._by_name.setdefault(same(path.name), []).append(path)
        return self._by_name.get(same(name), [])


def origin(record: Mapping[str, Any]) -> dict[str, Any]:
    """Source, licence, video and moment of a line's picture, as far as it tells."""
    moment = _first(record, ("image.moment", "moment"))
    return {
        "source": _text(record, "image.source", "source"),
        "licence": _text(record, "image.licence", "licence", "license"),
        "video": _text(record, "image.video", "video"),
        "moment": float(moment) if isinstance(moment, int | float) and 0 <= moment < _MOST else None,
    }


def _first(record: Mapping[str, Any], names: Sequence[str]) -> Any:
    """The value of the first name that has one."""
    return next((value for name in names if (value := _reach(record, name)) not in (None, "")), None)


def _text(record: Mapping[str, Any], *names: str) -> str:
    value = _first(record, names)
    return value if isinstance(value, str) else ""


def _reach(record: Mapping[str, Any], name: str) -> Any:
    value: Any = record
    for part in name.split("."):
        if not isinstance(value, Mapping):
            return None
        value = cast(Mapping[str, Any], value).get(part)
    return value
