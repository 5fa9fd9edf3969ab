"""A real generator of a few lines, and a judge with a script: what the benchmark needs to run in a test."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from wmsd_core.vlm import LogOdds, Question

FRAMES = 4


@dataclass(frozen=True)
class Pictures:
    """The condition: the first frame, and the frame that the text leads to."""

    first: torch.Tensor
    last: torch.Tensor

    def __len__(self) -> int:
        return len(self.first)

    def select(self, rows: torch.Tensor) -> "Pictures":
        return Pictures(self.first[rows], self.last[rows])


class FadeGenerator:
    """Fades from the given picture to a plain colour that follows from the text; a little of the noise stays.

    Latents are float32 pixels in [0, 1], [B, T, H, W, 3], the first frame given. The adapter halves the way.
    """

    name = "fade"
    checksum = "fade-weights"
    network = torch.nn.Linear(1, 1)
    lora_targets = ()

    def __init__(self) -> None:
        self.batches: list[tuple[list[str], list[int]]] = []
        """Texts and seeds of each batch, in order of the calls."""
        self.adapters: list[str | None] = []

    def encode(self, images: np.ndarray, texts: Sequence[str]) -> Pictures:
        first = torch.from_numpy(images).float() / 255
        colours = [list(hashlib.sha256(text.encode()).digest()[:3]) for text in texts]
        last = (torch.tensor(colours).float() / 255)[:, None, None].expand_as(first)
        self.batches.append((list(texts), []))
        return Pictures(first, last)

    def release_encoders(self) -> None: ...

    def noise(self, condition: Pictures, seeds: Sequence[int]) -> torch.Tensor:
        self.batches[-1][1].extend(seeds)
        shape = (FRAMES, *condition.first.shape[1:])
        x = torch.stack([torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds])
        x[:, 0] = condition.first
        return x

    def velocity(self, x: torch.Tensor, sigma: torch.Tensor, condition: Pictures, adapter: str | None) -> torch.Tensor:
        self.adapters.append(adapter)
        way = torch.linspace(0, 0.5 if adapter == "ema" else 1, FRAMES)[None, :, None, None, None]
        target = (1 - way) * condition.first[:, None] + way * condition.last[:, None]
        v = (x - target) / (sigma[:, None, None, None, None] + 0.1)  # + .1: a trace of the noise reaches the pixels
        return v * self.active_mask(condition)

    def active_mask(self, condition: Pictures) -> torch.Tensor:
        mask = torch.ones(len(condition), FRAMES, 1, 1, 1, dtype=torch.bool)
        mask[:, 0] = False
        return mask

    def decode(self, x_0: torch.Tensor) -> np.ndarray:
        return (x_0.clamp(0, 1) * 255).round().to(torch.uint8).numpy()

    def grid(self, steps: int) -> torch.Tensor:
        return torch.linspace(1, 0, steps + 1, dtype=torch.float64)


class ScriptedJudge:
    """Answers by a function of question and video, and remembers what it was asked."""

    def __init__(self, script: Callable[[Question, np.ndarray], LogOdds], name: str = "script") -> None:
        self.name = name
        self.script = script
        self.asked: list[tuple[Question, np.ndarray]] = []

    def complete(self, messages: object, schema: object, *, seed: int) -> object:
        raise AssertionError("the benchmark asks yes/no questions only")

    def log_odds(self, questions: Sequence[Question], media: Sequence[np.ndarray]) -> list[LogOdds]:
        self.asked += list(zip(questions, media, strict=True))
        return [self.script(question, video) for question, video in zip(questions, media, strict=True)]
