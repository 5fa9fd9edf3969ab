"""Tasks whose Demonstrator is imitated at the first noise level alone, the hard ones more often.

There a state is noise, whoever samples: the anchor (eq. 11) needs no rollout there, and a task costs one pass of the
Demonstrator and one of the Executor. What is decided at that level, such as a way around something, is so learned from many
more tasks than are rolled out. Not in the paper; docs/decisions/0016-recall.md says why.

Which tasks: prioritized replay (Schaul et al. 2016, arXiv:1511.05952), P ~ loss^alpha with the loss at which each was last
met, and the largest one for those that were not met yet.
"""

from collections.abc import Sequence
from math import inf, nan
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from wmsd_core import seeds
from wmsd_core.objectives.anchor import anchor_loss
from wmsd_core.shapes import Grid
from wmsd_core.training.arms import EXECUTOR, Lesson
from wmsd_core.training.batch import Batch
from wmsd_core.training.config import TrainConfig
from wmsd_core.training.distributed import World
from wmsd_core.training.groups import Slot
from wmsd_core.training.stopwatch import Stopwatch

ALPHA = 0.5
"""How strongly the loss decides, 0 being evenly; published: .6 and .5."""


class Recall:
    """What is known of all examples; the same in all processes of a run."""

    def __init__(self, config: TrainConfig, examples: int, grid: Grid, world: World) -> None:
        self._config, self._grid, self._world = config, grid, world
        self.losses: Float[Tensor, " N"] = torch.full((examples,), inf, dtype=torch.float64)
        """inf: not met yet. NaN: its Demonstrator has not passed, and it is not met again."""

    def draw(self, step: int) -> list[Slot]:
        """Different tasks for a step, as many in each process."""
        wished, world = self._config.recall, self._world
        met = self.losses[self.losses.isfinite()]
        weights = self.losses.clamp(max=float(met.max()) if len(met) else 1.0).nan_to_num(nan=0.0) ** ALPHA
        count = min(wished, int(weights.count_nonzero()))
        generator = torch.Generator().manual_seed(seeds.derive(self._config.seed, "recall", index=step))
        chosen = torch.multinomial(weights, count, generator=generator).tolist() if count else []
        slots = [Slot(step * wished + place, example) for place, example in enumerate(chosen)]
        share = count // world.size
        return slots[world.rank * share :][:share]

    def unmet(self, slots: Sequence[Slot]) -> Bool[Tensor, " R"]:
        """Which tasks are new."""
        return self.losses[[slot.example for slot in slots]] == inf

    def learn(self, recalled: "Recalled", lesson: Lesson, watch: Stopwatch) -> dict[str, Any]:
        """Adds the gradient of the anchor at the first level, averaged over the tasks whose Demonstrator has passed.

        Returns the mean loss, and how many these are.
        """
        batch, passed = recalled
        number = float(self._world.total(passed.sum())) / self._world.size  # gradients of processes are averaged
        weight = self._config.teaching_weight(lesson) / max(number, 1 / self._world.size)
        losses = torch.full((len(batch.rows),), nan, dtype=torch.float64)
        # Processes of a split base have to keep step.
        chosen = batch.rows if self._world.sharded else batch.rows[passed]
        for rows in chosen.split(self._config.micro_batch) if len(chosen) else ():
            with watch("forward"):
                x = batch.noise(rows, "recall")
                sigma = self._grid[:1].to(x).expand(len(rows))
                with torch.no_grad():
                    target = batch.velocity(lesson.demonstrator, x, sigma, rows)
                loss = anchor_loss(batch.velocity(EXECUTOR, x, sigma, rows), target, batch.active(rows))
            with watch("backward"):
                (weight * loss[passed[rows]].sum()).backward()
            losses[rows] = loss.detach().to(losses)
        examples = self._world.gather(torch.tensor([slot.example for slot in batch.slots]), 0)
        found = self._world.gather(losses.where(passed, nan), 0)
        self.losses[examples] = found
        return {"recall": float(found.nanmean()), "recalled": int(found.isfinite().sum())}


class Recalled(NamedTuple):
    """The tasks of a step that are recalled."""

    batch: Batch
    """One sample each."""
    passed: Bool[Tensor, " R"]
    """Whose Demonstrator may be learned from."""
