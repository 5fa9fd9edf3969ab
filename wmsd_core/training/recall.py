"""Tasks whose Demonstrator is imitated at one noise level each, the hard ones more often.

The anchor (eq. 11) at a noise level needs the Executor's state there and no more: it samples as far as that level, and nothing
is decoded, judged or compared. So the anchor sees many more tasks than are rolled out, and which ones can be chosen. Not in the
paper; docs/decisions/0016-recall.md says why.

Which tasks: prioritized replay (Schaul et al. 2016, arXiv:1511.05952), P ~ loss^priority. Here the loss is the squared error
of the clean clip that the Executor predicted when the task was last met, sigma^2 ||v_theta - v_phi||^2, which is of one size
at all levels; tasks that were not met yet come as often as the average one. The power rises from 0 over the warm-up, as long as
all is hard.
"""

from collections.abc import Sequence
from functools import partial
from math import inf, nan
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from wmsd_core import seeds
from wmsd_core.objectives.anchor import anchor_loss
from wmsd_core.sampling.ode import sample
from wmsd_core.shapes import Grid
from wmsd_core.training.arms import EXECUTOR, Lesson
from wmsd_core.training.batch import Batch
from wmsd_core.training.config import TrainConfig
from wmsd_core.training.distributed import World
from wmsd_core.training.groups import Slot
from wmsd_core.training.stopwatch import Stopwatch


class Recall:
    """What is known of all examples; the same in all processes of a run."""

    def __init__(self, config: TrainConfig, examples: int, grid: Grid, world: World) -> None:
        self._config, self._grid, self._world = config, grid, world
        self._levels = len(grid) - 1
        self.losses: Float[Tensor, " N"] = torch.full((examples,), inf, dtype=torch.float64)
        """inf: not met yet. NaN: its Demonstrator has not passed, and it is not met again."""

    def draw(self, step: int) -> list[Slot]:
        """Tasks of a step, level after level: different ones at each, as many at each, which the processes can share."""
        settings, weights = self._config.recall, self._weights(step)
        count = min(settings.tasks, int(weights.count_nonzero()))
        count -= count % self._world.size
        generator = torch.Generator().manual_seed(seeds.derive(self._config.seed, "recall", index=step))
        slots: list[Slot] = []
        for level in range(self._levels) if count else ():
            chosen = torch.multinomial(weights, count, generator=generator).tolist()
            first = (step * self._levels + level) * settings.tasks
            slots += [Slot(first + place, example) for place, example in enumerate(chosen)]
        return slots

    def share(self, drawn: Sequence[Slot]) -> list[Slot]:
        """This process's, of each level."""
        count = len(drawn) // self._levels
        part = count // self._world.size
        start = self._world.rank * part
        return [slot for level in range(self._levels) for slot in drawn[level * count + start :][:part]]

    def _weights(self, step: int) -> Float[Tensor, " N"]:
        settings = self._config.recall
        risen = min(1.0, step / settings.warm_up) if settings.warm_up else 1.0
        weights = self.losses ** (risen * settings.priority)
        met = weights[self.losses.isfinite()]
        weights[self.losses == inf] = met.mean() if len(met) else 1.0
        return weights.masked_fill(self.losses.isnan(), 0.0)  # nan to the power of 0 is 1

    def unmet(self, slots: Sequence[Slot]) -> list[Slot]:
        """The tasks that are new, each once and in a place of its own, whoever looks at it."""
        new = dict.fromkeys(slot.example for slot in slots if self.losses[slot.example] == inf)
        return [Slot(example, example) for example in new]

    def learn(self, recalled: "Recalled", lesson: Lesson, watch: Stopwatch) -> dict[str, Any]:
        """Adds the gradient of the anchor, averaged over the tasks whose Demonstrator has passed.

        Returns the mean of the loss that decides what comes again, and how many tasks these are.
        """
        batch, passed = recalled
        number = float(self._world.total(passed.sum())) / self._world.size  # gradients of processes are averaged
        weight = self._config.teaching_weight(lesson) / max(number, 1 / self._world.size)
        losses = torch.full((len(batch.rows),), nan, dtype=torch.float64)
        for level, rows in enumerate(batch.rows.split(len(batch.rows) // self._levels)):
            # Processes of a split base have to keep step.
            chosen = rows if self._world.sharded else rows[passed[rows]]
            for b in chosen.split(self._config.micro_batch) if len(chosen) else ():
                with watch("rollout"), torch.no_grad():
                    act, active = partial(batch.velocity, EXECUTOR, rows=b), batch.active(b)
                    x = sample(act, batch.noise(b, "recall"), self._grid[: level + 1], active)
                with watch("forward"):
                    sigma = self._grid[level : level + 1].to(x).expand(len(b))
                    with torch.no_grad():
                        target = batch.velocity(lesson.demonstrator, x, sigma, b)
                    loss = anchor_loss(batch.velocity(EXECUTOR, x, sigma, b), target, active)
                with watch("backward"):
                    (weight * loss[passed[b]].sum()).backward()
                losses[b] = float(self._grid[level]) ** 2 * loss.detach().to(losses)
        examples = self._world.gather(torch.tensor([slot.example for slot in batch.slots]), 0)
        found = self._world.gather(losses.where(passed, nan), 0)
        last = dict(zip(examples.tolist(), found.tolist(), strict=True))  # a task may have come at several levels
        self.losses[list(last)] = torch.tensor(list(last.values()), dtype=torch.float64)
        return {"recall": float(found.nanmean()), "recalled": int(found.isfinite().sum())}


class Recalled(NamedTuple):
    """The tasks of a step that are recalled."""

    batch: Batch
    """One sample each, those of one noise level after those of another."""
    passed: Bool[Tensor, " R"]
    """Whose Demonstrator may be learned from."""
