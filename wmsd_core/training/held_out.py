"""How the averaged weights do on tasks that nothing is learned from, during training, and the best of them.

The tasks are whole pictures of the training split, so that none is in the benchmark, and no picture is both trained and tried.
Noise is the same at every trial: scores differ by what was learned in between. A trial reads the weights and changes nothing
that a step depends on, and what it finds at a step is the same however often a run was stopped before.
"""

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from wmsd_core.files import sha256
from wmsd_core.rewards.judged import judged
from wmsd_core.sampling.ode import sample
from wmsd_core.training.adapters import publish
from wmsd_core.training.arms import Role
from wmsd_core.training.batch import Batch
from wmsd_core.training.deliveries import ABOUT, intact
from wmsd_core.training.examples import Example
from wmsd_core.training.groups import Slot
from wmsd_core.training.loop import Trainer
from wmsd_core.training.scoring import CRITERIA
from wmsd_core.vlm.protocol import VisionLanguageModel

AVERAGED = Role("task", "ema")


def divided(examples: Sequence[Example], count: int) -> tuple[list[Example], list[Example]]:
    """The examples to learn from, and `count` others: those of whole pictures, taken in the order of a hash of their content.

    Raises:
        ValueError: nothing, or not enough, would be left.
    """
    pictures: dict[str, list[Example]] = {}
    for example in examples:
        pictures.setdefault(example.sha256 or sha256(example.image), []).append(example)
    held: list[Example] = []
    order = iter(sorted(pictures))
    while len(held) < count and (picture := next(order, None)):
        held += pictures.pop(picture)
    left = [example for picture in pictures.values() for example in picture]
    if not left:
        raise ValueError(
            f"train.held_out.tasks={count} leaves nothing to learn from: there are {len(examples)} tasks; hold out fewer"
        )
    kept = {example.pair_id for example in left}
    return [example for example in examples if example.pair_id in kept], held[:count]


class HeldOut:
    """The tasks of one process, and the judge that looks at what is made of them."""

    def __init__(self, trainer: Trainer, examples: Sequence[Example], judge: VisionLanguageModel) -> None:
        world = trainer.world
        if len(examples) % world.size:
            raise ValueError(f"{world.size} processes cannot share {len(examples)} held-out tasks: use a multiple")
        share = len(examples) // world.size
        slots = [Slot(n, n) for n in range(world.rank * share, (world.rank + 1) * share)]
        self._trainer, self._judge = trainer, judge
        self._batch = Batch(trainer.generator, examples, slots, group_size=1, seed=trainer.config.seed)

    @torch.no_grad()
    def scores(self) -> dict[str, float]:
        """Share of good answers by criterion among those that could be read, their mean, and how many could not."""
        good, read = torch.zeros(2, len(CRITERIA), dtype=torch.float64)
        batch, grid, world = self._batch, self._trainer.grid, self._trainer.world
        for rows in batch.rows.split(self._trainer.config.micro_batch):
            act = partial(batch.velocity, AVERAGED, rows=rows)
            x_0 = sample(act, batch.noise(rows, "held out"), grid, batch.active(rows))
            videos = batch.generator.decode(x_0)
            tasks = [batch.examples[row].task for row in rows.tolist()]
            rewards, _ = judged(self._judge.log_odds, [f"judge_{name}" for name in CRITERIA], tasks, videos)
            good += (rewards > 0).double().sum(1)
            read += (~rewards.isnan()).double().sum(1)
        good, read = world.total(good), world.total(read)
        shares = good / read
        named = dict(zip(CRITERIA, shares.tolist(), strict=True))
        unread = len(self._batch.rows) * world.size * len(CRITERIA) - float(read.sum())
        return named | {"score": float(shares.mean()), "unread": unread}


def keep_best(trainer: Trainer, folder: Path, score: float) -> bool:
    """Publishes the averaged weights as RUN/best if no earlier step had as good a score; True where it did."""
    place, settings = folder / "best", trainer.config.adapter
    if not score > best_score(folder):
        return False
    about: dict[str, Any] = {"step": trainer.steps_done, "score": score}
    publish(trainer.generator, place, name="ema", rank=settings.rank, alpha=settings.alpha, about=about)
    return True


def best_score(folder: Path) -> float:
    """Of the weights in RUN/best; minus infinity where there are none, or their files are damaged."""
    place = folder / "best"
    if not intact(place):
        return -torch.inf
    return float(json.loads((place / ABOUT).read_text(encoding="utf-8"))["score"])
