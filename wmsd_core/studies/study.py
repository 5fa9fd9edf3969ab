"""What a study is: a file that is written, with its predictions, before anything is run.

    title: What each part of the method is worth
    recipe: miniature
    seeds: [0, 1, 2, 3, 4]
    every: 40                        # steps between evaluations, on the half that may be looked at
    settings: {train.steps: 240}     # of all arms
    arms:
      demonstrator: {role: demonstrator}
      full: {settings: {train.arm: full}, prediction: "above the Demonstrator", published: [figure 5/on_policy_rl]}

The last step is measured on the other half too, once; with `test: 0` never, which is for choosing. Settings come from the file
alone, so that it says what was done.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import Field, ValidationError, model_validator

from wmsd_core import overrides
from wmsd_core.bench.benchmark import OwnArm
from wmsd_core.bench.evaluation import EvaluateConfig
from wmsd_core.config import Config, digest
from wmsd_core.recipe import Recipe
from wmsd_core.studies import published

Board = Literal["selection", "test"]
"""selection: the half of the benchmark that curves are drawn on. test: the half that the last step alone is measured on."""
OF_AN_ARM = ("train.", "launch.", "evaluate.steps", "evaluate.batch")
"""Settings that an arm may have of its own, by how they begin: dataset, models, judging and noise are the same for all."""
OF_THE_STUDY = {
    "train.seed": "seeds",
    "train.keep_every": "every",
    "evaluate.at_step": "every",
    "evaluate.tasks": "selection and test",
    "evaluate.benchmark": "selection and test",
    "evaluate.arms": "role",
}
"""Settings that the study decides by a key of its own: given as settings they would have no effect."""
BOARDS: dict[Board, str] = {"selection": "worldtasks-selection", "test": "worldtasks-test"}


class StudyArm(Config):
    """One arm."""

    title: str = ""
    """What people read; else the arm's name."""
    role: OwnArm = "executor"
    """executor: it is trained, with each seed. base, demonstrator, vlm: the frozen base, measured once."""
    settings: dict[str, Any] = Field(default={})
    """Settings by dotted name, over those of the study: of training, and of the sampler."""
    seeds: int | None = Field(default=None, ge=1)
    """How many of the study's seeds, the first ones. None: all."""
    prediction: str = ""
    """What is expected, and why; written before the run."""
    published: tuple[str, ...] = ()
    """The paper's curves of this arm, each as FIGURE/CURVE of `published.py`."""

    @model_validator(mode="after")
    def _known(self) -> Self:
        for name in self.published:
            published.curves(name)
        _not_of_the_study(self.settings)
        if shared := [key for key in self.settings if not key.startswith(OF_AN_ARM)]:
            raise ValueError(
                f"{shared[0]} is the same for all arms: set it for the study, or in a study of its own; "
                f"an arm's own settings begin with {', '.join(OF_AN_ARM)}"
            )
        return self


class Study(Config):
    """The content of a study's file."""

    title: str
    question: str = ""
    """What is to be found out."""
    recipe: str = "miniature"
    """Whose settings these are changes to."""
    seeds: tuple[int, ...] = (0, 1)
    """train.seed of the runs of each arm. The noise of evaluations is the same for all."""
    every: int = Field(default=40, ge=0)
    """Steps between evaluations on the selection half. 0: only the last step is measured."""
    selection: int = Field(default=160, ge=1)
    """Tasks of the selection half."""
    test: int = Field(default=400, ge=0)
    """Tasks of the test half. 0: it is not touched, and scores are those of the selection half, for a study to choose by."""
    settings: dict[str, Any] = Field(default={})
    """Settings of all arms, by dotted name, and of the dataset, where the workspace has none yet."""
    reference: str = ""
    """The arm that others are compared with; '' is the first."""
    arms: dict[str, StudyArm]

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if not self.arms or not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise ValueError("a study needs at least one arm and one seed, and no seed twice")
        _not_of_the_study(self.settings)
        if self.reference and self.reference not in self.arms:
            raise ValueError(f"reference: there is no arm '{self.reference}'; the arms are {', '.join(self.arms)}")
        return self

    @property
    def baseline(self) -> str:
        """The arm that others are compared with."""
        return self.reference or next(iter(self.arms))

    @property
    def half(self) -> Board:
        """The half that scores and differences are of."""
        return "test" if self.test else "selection"

    def title_of(self, arm: str) -> str:
        """What people read."""
        return self.arms[arm].title or arm.replace("_", " ")


def _not_of_the_study(settings: Mapping[str, Any]) -> None:
    for key in settings:
        if key in OF_THE_STUDY:
            raise ValueError(f"{key} has no effect among settings: {OF_THE_STUDY[key]} of the study decides it")


@dataclass(frozen=True)
class Planned:
    """One run of a study: an arm with a seed, and all its settings."""

    arm: str
    seed: int | None
    """None where nothing is trained."""
    role: OwnArm
    recipe: Recipe
    every: int
    tasks: dict[Board, int]
    key: str
    """SHA-256 of all that the file says of it: a changed file does not pass for the one that was run. What the program adds,
    such as a setting that is new, is known by the run's own id, and made again where it is another."""

    @property
    def steps(self) -> list[int]:
        """The steps that are measured; 0 where nothing is trained."""
        if self.role != "executor":
            return [0]
        last = self.recipe.train.steps
        return [*range(self.every, last, self.every), last] if self.every else [last]

    @property
    def evaluations(self) -> Iterator[tuple[Board, EvaluateConfig]]:
        """What is measured, in order: every step on the selection half, the last one on the test half too, if it has tasks."""
        for step in self.steps:
            boards: tuple[Board, ...] = ("selection", "test") if step == self.steps[-1] else ("selection",)
            for board in boards:
                if not self.tasks[board]:
                    continue
                changed: dict[str, Any] = {"benchmark": BOARDS[board], "tasks": self.tasks[board], "arms": (self.role,)}
                changed |= {"at_step": step or None, "videos": {}, "controls": 0}
                yield board, self.recipe.evaluate.model_copy(update=changed)


def read(file: Path) -> Study:
    """The study of a file.

    Raises:
        ValueError: it cannot be read, or is none; the message says where.
    """
    try:
        return Study.model_validate(yaml.safe_load(file.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"{file} cannot be read as a study: {' '.join(str(error).split())}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise ValueError(f"{file}: {where}: {first['msg']}; docs/studies.md says what a study is") from error


def with_settings(recipe: Recipe, given: Mapping[str, Any]) -> Recipe:
    """A recipe with the settings of a study, or of an arm.

    Raises:
        ValueError: there is no such setting, or its value is refused.
    """
    return overrides.apply(recipe, [f"{key}={json.dumps(value)}" for key, value in given.items()])


def planned(study: Study, recipe: Recipe) -> list[Planned]:
    """Every run of a study. The first seed of all arms comes first, so that what is stopped early can be compared.

    Raises:
        ValueError: an arm names a setting that does not exist, or gives it a value that is refused.
    """
    tasks: dict[Board, int] = {"selection": study.selection, "test": study.test}
    found: list[tuple[int, Planned]] = []
    for name, arm in study.arms.items():
        trained = arm.role == "executor"
        given = study.settings | arm.settings
        try:
            changed = with_settings(recipe, given)
        except ValueError as error:
            raise ValueError(f"arm '{name}': {error}") from error
        for place, seed in enumerate(study.seeds[: arm.seeds] if trained else [None]):
            train = changed.train.model_copy(update={"seed": seed or 0, "keep_every": study.every})
            said = {
                key: value
                for key, value in given.items()
                if (trained or not key.startswith("train.")) and not _as_before(changed, key)
            }
            key = digest([study.recipe, name, arm.role, seed, study.every, dict(tasks), said])
            run = Planned(name, seed, arm.role, changed.model_copy(update={"train": train}), study.every, tasks, key)
            found.append((place, run))
    return [run for _, run in sorted(found, key=lambda placed: placed[0])]


def _as_before(recipe: Recipe, key: str) -> bool:
    """Whether a setting came later, and has the value that means what was done before: a file that comes to say so, because
    the recipe now says otherwise, has the results that it had."""
    *path, name = key.split(".")
    parent: Any = reduce(getattr, path, recipe)
    later: Mapping[str, Any] = getattr(parent, "later", {})
    return name in later and getattr(parent, name) == later[name]
