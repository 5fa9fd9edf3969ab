"""One evaluation: which benchmark, which arms of which models, and what makes two of them the same."""

import re
from dataclasses import replace
from typing import ClassVar, Self, get_args

import duckdb
from pydantic import Field, model_validator

from wmsd_core import store
from wmsd_core.bench.benchmark import ARMS, Arm, Benchmark, Item, OwnArm, named
from wmsd_core.config import Config, digest


class EvaluateConfig(Config):
    """What is generated and judged."""

    revision: ClassVar[int] = 2

    benchmark: str = "worldtasks"
    """By name, or as `package.module:factory`."""
    tasks: int = Field(default=400, ge=1)
    """Items to take of the benchmark. With fewer than 300, which the report points out, scores of 50 % have intervals
    wider than +-5.6 points."""
    steps: int = Field(default=8, ge=1)
    """Sampler steps per video."""
    seed: int = 0
    """Run seed. The noise of an item is derived from it and from the item, so that it is the same for every arm."""
    batch: int = Field(default=32, ge=1)
    """Most videos that a judge is handed at once: a kill loses what was asked about them. Videos are generated one by one."""
    arms: tuple[OwnArm, ...] = ARMS
    """Which arms to run: base, demonstrator, executor, and vlm, whose texts are written at inference by models.writer."""
    videos: dict[str, str] = Field(default={})
    """Arms whose clips somebody else made: name -> folder. The file names say which items they are of: the item's id, or the
    published form, see `wmsd bench export`."""
    at_step: int | None = Field(default=None, ge=1)
    """The Executor as it was after this step of its training, which has kept it (train.keep_every). None: after the last."""
    pickscore: bool = False
    """Score videos with PickScore too (models.pickscore), the first frame alone beside it."""
    controls: int = Field(default=24, ge=0)
    """Videos that each control of the judge is made of; 0 leaves them out."""

    @property
    def everyone(self) -> tuple[Arm, ...]:
        """Own arms, then those of clips from elsewhere."""
        return (*self.arms, *self.videos)

    @model_validator(mode="after")
    def _somebody(self) -> Self:
        if not self.everyone:
            raise ValueError("name at least one arm, or a folder of clips")
        for name in self.videos:
            if not re.fullmatch(r"[A-Za-z0-9][\w.+-]*", name) or name in get_args(OwnArm):
                raise ValueError(f"clips go by a name of letters, digits and -_.+ that no own arm has, not '{name}'")
        return self

    @property
    def sampler(self) -> str:
        """The sampler's identity, as stored with each video."""
        return f"euler/{self.steps}"


class Evaluation(Config):
    """One evaluation, fully named: settings, model, adapter and judge. It travels from stage to stage as plain JSON."""

    config: EvaluateConfig = EvaluateConfig()
    """Benchmark, items, seed, steps and arms."""
    model: str
    """Checksum of the base weights (`Generator.checksum`); '' where no own arm is run."""
    adapter: str
    """Checksum of the trained adapter; '' only where the executor is not among the arms."""
    judge: str
    """Name of the judging model (`VisionLanguageModel.name`)."""
    writer: str = ""
    """Who writes the texts of the arm vlm (`solving.writer_of`); '' where it is not among the arms."""
    clips: dict[str, dict[str, str]] = Field(default={})
    """Of arms whose clips somebody else made: item id -> SHA-256 of the file."""

    @property
    def benchmark(self) -> Benchmark:
        """The benchmark that the settings name.

        Raises:
            ValueError: it cannot be loaded.
        """
        return named(self.config.benchmark)

    def adapter_of(self, arm: Arm) -> str:
        """The adapter column of an arm's videos: '' for the frozen base."""
        return self.adapter if arm == "executor" else ""


def items_of(con: duckdb.DuckDBPyConnection, config: EvaluateConfig, *, writer: str = "") -> list[Item]:
    """The first `tasks` items of the benchmark, each with what the writer has written for it.

    Raises:
        ValueError: the benchmark cannot be loaded, has no item here, or gives two items one id.
    """
    benchmark = named(config.benchmark)
    items = benchmark.items(con, config.tasks)
    if not items:
        raise ValueError(benchmark.absent)
    if len({item.item_id for item in items}) < len(items):
        raise ValueError(f"{benchmark.title} gives one id to several items, so that their videos cannot be told apart")
    rows = store.query(con, "SELECT item_id, solution FROM written_solutions WHERE writer = ?", [writer])
    written = {row["item_id"]: row["solution"] or "" for row in rows}
    return [replace(item, written=written.get(item.item_id, "")) for item in items]


def video_id(item: Item, arm: Arm, evaluation: Evaluation) -> str:
    """SHA-256 of item, arm, text, weights, adapter, seed, sampler, and the revision of how videos are made.

    The text is part of it because an item keeps its id when its solution is written anew. The benchmark is not: what two
    of them ask about the same video is asked of one file. Of a clip from elsewhere its content says where it is from.
    """
    config = evaluation.config
    if arm in config.videos:
        clip = evaluation.clips.get(arm, {}).get(item.item_id, "")
        return digest([item.item_id, arm, evaluation.benchmark.text(item, arm), clip])
    return digest(
        [
            item.item_id,
            arm,
            evaluation.benchmark.text(item, arm),
            evaluation.model,
            evaluation.adapter_of(arm),
            item.seed(config.seed),
            config.sampler,
            config.revision,
        ]
    )
