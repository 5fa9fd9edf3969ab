"""Encoding before training, so that text encoders are gone when the network needs the memory."""

from collections.abc import Sequence
from dataclasses import replace

from wmsd_core.generators.protocol import Generator
from wmsd_core.training.config import TrainConfig
from wmsd_core.training.examples import Example, load_images
from wmsd_core.training.groups import GroupSampler


def encode_ahead(generator: Generator, examples: Sequence[Example]) -> None:
    """Puts the images, short tasks and detailed solutions into the generator's cache, and frees its encoders."""
    for example in examples:
        image = load_images([example])
        for text in filter(None, (example.task, example.solution)):  # a recording has no solution
            generator.encode(image, [text])
    generator.release_encoders()


def upcoming(groups: GroupSampler, config: TrainConfig, done: int) -> list[int]:
    """The examples that a run may meet after `done` steps, each once. The run's cursor stays where it is."""
    if any(map(config.recalled, config.lessons)):
        return list(range(groups.examples))
    ahead = replace(groups)
    return sorted({slot.example for _ in range(done, config.steps) for slot in ahead.next()})
