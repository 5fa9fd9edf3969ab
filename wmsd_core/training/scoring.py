"""Rewards that come from looking at videos, asked for as soon as a video is there, while the next ones are sampled."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple, Protocol, Self

import torch
from jaxtyping import Bool
from torch import Tensor

from wmsd_core.arrays import Videos
from wmsd_core.rewards.gating import gated
from wmsd_core.rewards.judged import judged
from wmsd_core.rewards.pickscore import PickScores
from wmsd_core.shapes import Groups, Latents
from wmsd_core.training.batch import Batch, Rows
from wmsd_core.training.config import TrainConfig
from wmsd_core.training.stopwatch import Stopwatch
from wmsd_core.vlm.protocol import VisionLanguageModel

CRITERIA = ("task", "consistency")
"""What a clip is asked about that is to pass: the task must be done, and the clip be consistent."""
WAITING = 2
"""Micro-batches of decoded videos that may wait for each one that is being scored; with more, sampling waits too. A video of
LTX-2 has 143 MB, and those of a whole step would fill the memory while a slow judge looks at the first."""


class PictureScorer(Protocol):
    """PickScore, or another model that scores a video for a text without being asked a question."""

    def score(self, texts: Sequence[str], videos: Videos) -> PickScores: ...


VideoReward = Callable[[Sequence[str], Videos], Sequence[float]]
"""A reward from outside: texts and videos [B, T, H, W, 3] to one number per video, NaN where it has none."""


class VideoRewards(NamedTuple):
    values: dict[str, Groups]
    """By name, in the order of `TrainConfig.video_rewards`; NaN where a video could not be scored."""
    unread: dict[str, int]
    """Why judgments could not be read, and how often."""
    first_frame: float | None
    """Mean PickScore of the first frames: what a video that never moves would get."""
    passed: Bool[Tensor, " P"]
    """Whose Demonstrator may be learned from: all that were not vetted, or passed."""


class Scoring:
    """The videos of one step on their way through the scorers.

    `submit` decodes and returns at once; scorers work in threads of their own, where they wait for a server or compute.
    Frames are freed as soon as they are scored. Leaving the context drops what has not begun.
    """

    def __init__(
        self,
        batch: Batch,
        judge: VisionLanguageModel | None,
        pickscore: PictureScorer | None,
        config: TrainConfig,
        watch: Stopwatch,
        extra: Mapping[str, VideoReward] | None = None,
    ) -> None:
        self._extra = extra or {}
        self._batch, self._judge, self._pickscore, self._config, self._watch = batch, judge, pickscore, config, watch
        self._values = {name: torch.full((len(batch.rows),), torch.nan).double() for name in config.video_rewards}
        self._first = torch.full((len(batch.rows),), torch.nan).double()
        self._passed = torch.ones(len(batch.slots), dtype=torch.bool)
        self._unread: Counter[str] = Counter()
        self._pool = ThreadPoolExecutor(config.rewards.overlap)
        self._pending: list[Future[Callable[[], None]]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def submit(self, rows: Rows, x_0: Latents) -> None:
        """Decodes the samples of these rows and sends them off to be scored, as soon as not too many are waiting for that."""
        if self._values:
            self._wait(most=(1 + WAITING) * self._config.rewards.overlap - 1)
            with self._watch("decode"):
                videos = self._batch.generator.decode(x_0)
            self._pending.append(self._pool.submit(self._score, rows, videos))

    def vet(self, tasks: Tensor, x_0: Latents) -> None:
        """Decodes the Demonstrator's own clip of each of these tasks of the step, and has the judge say whether it passes."""
        self._wait(most=(1 + WAITING) * self._config.rewards.overlap - 1)
        with self._watch("decode"):
            videos = self._batch.generator.decode(x_0)
        self._pending.append(self._pool.submit(self._look, tasks, videos))

    def _wait(self, *, most: int) -> None:
        under_way = [future for future in self._pending if not future.done()]
        with self._watch("reward"):
            for future in under_way[: len(under_way) - most] if len(under_way) > most else ():
                future.result()

    def result(self) -> VideoRewards:
        """Waits for all scores. What a scorer raises (a server that is down) is raised here."""
        for future in self._pending:
            future.result()()
        groups = (len(self._batch.slots), self._batch.group_size)
        values = {name: value.view(groups) for name, value in self._values.items()}
        if self._config.rewards.gate_consistency and "consistency" in values:
            values["consistency"] = gated(values["consistency"].flatten(), values["task"].flatten()).view(groups)
        first = float(self._first.nanmean()) if "pickscore" in values else None
        return VideoRewards(values, dict(self._unread), first, self._passed)

    def _look(self, tasks: Tensor, videos: Videos) -> Callable[[], None]:
        """Whether clips pass; one that cannot be judged does not. The result writes it down, like that of `_score`."""
        assert self._judge
        texts = [self._batch.examples[task].task for task in tasks.tolist()]
        found, unread = judged(self._judge.log_odds, [f"judge_{name}" for name in CRITERIA], texts, videos)

        def write() -> None:
            self._passed[tasks] = (found > 0).all(0)
            self._unread.update(unread)

        return write

    def _score(self, rows: Rows, videos: Videos) -> Callable[[], None]:
        """Scores some videos; the result writes them down, in the thread that calls it."""
        tasks = [self._batch.examples[row // self._batch.group_size].task for row in rows.tolist()]
        names = list(self._config.judged)
        found: dict[str, Tensor] = {}
        unread: dict[str, int] = {}
        first: Tensor | None = None
        if names and self._judge:
            rewards, unread = judged(self._judge.log_odds, [f"judge_{name}" for name in names], tasks, videos)
            found |= dict(zip(names, rewards, strict=True))
        if "pickscore" in self._values and self._pickscore:
            found["pickscore"], first = self._pickscore.score(tasks, videos)
        for name, reward in self._extra.items():
            found[name] = torch.tensor(reward(tasks, videos), dtype=torch.float64)

        def write() -> None:
            for name, values in found.items():
                self._values[name][rows] = values
            if first is not None:
                self._first[rows] = first
            self._unread.update(unread)

        return write
