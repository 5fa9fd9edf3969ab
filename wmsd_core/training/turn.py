"""What belongs to one step of training: the settings, the lesson, the tasks, their trajectories, the clock, the processes."""

from dataclasses import dataclass

from jaxtyping import Bool
from torch import Tensor

from wmsd_core.shapes import Grid
from wmsd_core.training.arms import Lesson
from wmsd_core.training.batch import Batch
from wmsd_core.training.config import TrainConfig
from wmsd_core.training.distributed import World
from wmsd_core.training.rollout import Rollouts
from wmsd_core.training.stopwatch import Stopwatch


@dataclass(frozen=True)
class Turn:
    """One step, as the losses see it."""

    config: TrainConfig
    lesson: Lesson
    grid: Grid
    batch: Batch
    rollouts: Rollouts
    passed: Bool[Tensor, " P"]
    """The tasks whose Demonstrator may be learned from."""
    watch: Stopwatch
    world: World
