"""The tasks of one step, and the network on them in any of its roles."""

from collections.abc import Callable, Sequence
from functools import cached_property

import torch
from jaxtyping import Int
from torch import Tensor

from wmsd_core import seeds
from wmsd_core.arrays import Image
from wmsd_core.generators.protocol import Condition, Generator
from wmsd_core.shapes import LatentMask, Latents, PerSample
from wmsd_core.training.arms import Role
from wmsd_core.training.examples import Example, load_images, load_videos
from wmsd_core.training.groups import Slot
from wmsd_core.training.throughput import Passes

Rows = Int[Tensor, " B"]
"""Numbers of samples within the step. Sample b is rollout b % group_size of task b // group_size."""


class Batch:
    """P tasks with G rollouts each. A condition is encoded once per task, and repeated only inside a micro-batch."""

    def __init__(
        self, generator: Generator, examples: Sequence[Example], slots: Sequence[Slot], *, group_size: int, seed: int
    ) -> None:
        self.generator = generator
        self.slots = slots
        self.examples = [examples[slot.example] for slot in slots]
        self.group_size = group_size
        self.seed = seed
        self.rows = torch.arange(len(slots) * group_size)
        self.passes = Passes(0, 0)

    @cached_property
    def images(self) -> list[Image]:
        return load_images(self.examples)

    @cached_property
    def short(self) -> Condition:
        return self.generator.encode(self.images, [example.task for example in self.examples])

    @cached_property
    def detailed(self) -> Condition:
        return self.generator.encode(self.images, [example.solution for example in self.examples])

    def velocity(self, role: Role, x: Latents, sigma: PerSample, rows: Rows) -> Latents:
        """The network's velocity in a role: v_theta(x; o, c) of the Executor, v_phi(x; o, d) of the Demonstrator."""
        trained = len(x) * torch.is_grad_enabled()
        self.passes = Passes(self.passes.plain + len(x) - trained, self.passes.trained + trained)
        condition = self.short if role.text == "task" else self.detailed
        return self.generator.velocity(x, sigma, condition.select(rows // self.group_size), role.adapter)

    def active(self, rows: Rows) -> LatentMask:
        return self.generator.active_mask(self.short.select(rows // self.group_size))

    def recorded(self, rows: Rows) -> Latents:
        """x_0 of the tasks' own videos."""
        videos = load_videos([self.examples[row // self.group_size] for row in rows.tolist()])
        return self.generator.encode_video(videos, self.short.select(rows // self.group_size))

    def noise(self, rows: Rows, purpose: str, *, count: int = 1) -> Latents:
        """`count` independent noises for each of the samples, those of one sample in a row. Given latents are clean."""
        keys = [self._seed(purpose, row, count, n) for row in rows.tolist() for n in range(count)]
        return self.generator.noise(self.short.select(rows.repeat_interleave(count) // self.group_size), keys)

    def draw(self, purpose: str, draw: Callable[[torch.Generator], Tensor]) -> Tensor:
        """What `draw` gives for the samples of each task, task after task, from a generator of the task's own."""
        pairs = zip(self.slots, self.examples, strict=True)
        return torch.cat([draw(self._random(purpose, slot, example)) for slot, example in pairs])

    def _seed(self, purpose: str, row: int, count: int, n: int) -> int:
        task, rollout = divmod(row, self.group_size)
        index = (self.slots[task].position * self.group_size + rollout) * count + n
        return seeds.derive(self.seed, purpose, self.examples[task].pair_id, index)

    def _random(self, purpose: str, slot: Slot, example: Example) -> torch.Generator:
        return torch.Generator().manual_seed(seeds.derive(self.seed, purpose, example.pair_id, slot.position))
