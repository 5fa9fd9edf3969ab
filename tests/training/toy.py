"""A world small enough to train in a second: a video is six pixels that go to the grey level that the text names.

The generator is a real network behind the protocol; the first frame is given. Detailed texts name a level ("level 3");
short ones name it in another word ("goal 3"), which the network reads in other units and does not understand.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from wmsd_core.frames import clips
from wmsd_core.generators import lora
from wmsd_core.generators.protocol import Adapter
from wmsd_core.models import ModelsConfig
from wmsd_core.training.config import TrainConfig
from wmsd_core.training.examples import Example, load_examples
from wmsd_core.training.run import Run
from wmsd_core.vlm import LogOdds, Question

FRAMES, SIZE, LEVELS = 3, 2, 4


@dataclass(frozen=True)
class ToyCondition:
    first: Tensor
    words: Tensor

    def __len__(self) -> int:
        return len(self.words)

    def select(self, rows: Tensor) -> Self:
        return type(self)(self.first[rows], self.words[rows])


class ToyNetwork(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        pixels = FRAMES * SIZE * SIZE
        self.inner = nn.Linear(pixels + 1 + 2 * LEVELS, 32)
        self.outer = nn.Linear(32, pixels)

    def forward(self, x: Tensor, sigma: Tensor, words: Tensor) -> Tensor:
        return self.outer(torch.tanh(self.inner(torch.cat([x.flatten(1), sigma[:, None], words], 1)))).view_as(x)


class ToyGenerator:
    name = "toy"
    checksum = "toy/1"
    lora_targets = ("inner", "outer")

    def __init__(self, device: str = "cpu") -> None:
        self.device = torch.device(device)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.network: nn.Module = ToyNetwork().requires_grad_(False).to(self.device)

    def encode(self, images: np.ndarray | Sequence[np.ndarray], texts: Sequence[str]) -> ToyCondition:
        kinds, levels = zip(*(text.split() for text in texts), strict=True)
        word = torch.tensor([LEVELS * (kind == "goal") + int(level) for kind, level in zip(kinds, levels, strict=True)])
        first = torch.from_numpy(np.stack([image[..., 0] for image in images]).astype(np.float32) / 127.5 - 1)
        return ToyCondition(first.to(self.device), nn.functional.one_hot(word, 2 * LEVELS).float().to(self.device))

    def release_encoders(self) -> None: ...

    def noise(self, condition: Any, seeds: Sequence[int]) -> Tensor:
        shape = (FRAMES - 1, SIZE, SIZE)
        noise = torch.stack([torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds])
        return torch.cat([condition.first[:, None], noise.to(self.device)], 1)

    def velocity(self, x: Tensor, sigma: Tensor, condition: Any, adapter: Adapter | None) -> Tensor:
        lora.use(self.network, adapter)
        level = (condition.words[:, :LEVELS] @ torch.arange(LEVELS, device=self.device).float()) / LEVELS - 0.5
        v = self.network(x, sigma, condition.words) + x - level.view(-1, 1, 1, 1)
        return v * self.active_mask(condition)

    def active_mask(self, condition: Any) -> Tensor:
        return (torch.arange(FRAMES, device=self.device) > 0).view(1, FRAMES, 1, 1).repeat(len(condition), 1, 1, 1)

    def encode_video(self, videos: np.ndarray, condition: Any) -> Tensor:
        x_0 = torch.from_numpy(videos[..., 0].astype(np.float32)).to(self.device) / 127.5 - 1
        return torch.cat([condition.first[:, None], x_0[:, 1:]], 1)

    def decode(self, x_0: Tensor) -> np.ndarray:
        grey = ((x_0 + 1) * 127.5).clamp(0, 255).to(torch.uint8).cpu().numpy()
        return np.repeat(grey[..., None], 3, -1)

    def grid(self, steps: int) -> Tensor:
        return torch.linspace(1, 0, steps + 1, dtype=torch.float64)


class ToyJudge:
    """Likes last frames near the level of the task, and calm videos. Cannot read the word "goal 0"."""

    name = "toy-judge/1"

    def complete(self, *_: Any, **__: Any) -> Any:
        raise ValueError("the toy's judge only answers questions")

    def log_odds(self, questions: Sequence[Question], media: Sequence[np.ndarray]) -> list[LogOdds]:
        return [self._answer(question, video / 255) for question, video in zip(questions, media, strict=True)]

    def _answer(self, question: Question, video: np.ndarray) -> LogOdds:
        level = question.text.split("goal ")[1][0]
        if level == "0":
            return LogOdds.unread("zero is no goal")
        if question.name == "judge_task":
            return LogOdds(3 - 20 * abs(float(video[-1].mean()) - 0.25 - 0.125 * int(level)))
        return LogOdds(3 - 20 * float(np.diff(video, axis=0).std()))


def write_run(folder: Path, config: TrainConfig, *, examples: int = 7) -> list[Example]:
    """A run's folder for the process; returns its examples."""
    folder.mkdir(parents=True, exist_ok=True)
    lines: list[str] = []
    for i in range(examples):
        grey = np.full((SIZE, SIZE, 3), 40 * (i % 5), np.uint8)
        name = f"{hashlib.sha256(grey.tobytes()).hexdigest()[:8]}.png"
        Image.fromarray(grey).save(folder / name)
        level = i % LEVELS
        fade = np.linspace(40 * (i % 5), 32 + 32 * level, FRAMES).astype(np.uint8)[:, None, None, None]
        video, _ = clips.write(np.broadcast_to(fade, (FRAMES, SIZE, SIZE, 3)), folder / "clips")
        pair = {"pair_id": f"p{i}", "image": name, "task": f"goal {level}", "solution": f"level {level}"}
        lines.append(json.dumps(pair | {"video": str(video.relative_to(folder))}))
    (folder / "examples.jsonl").write_text("\n".join(lines) + "\n")
    models = ModelsConfig(generator="tests.training.toy:ToyGenerator", judge="tests.training.toy:ToyJudge")
    (folder / "run.json").write_text(Run(config=config, models=models).model_dump_json())
    return load_examples(folder / "examples.jsonl")
