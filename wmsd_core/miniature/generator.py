"""The miniature's generator: a small pretrained network behind the protocol of every generator.

A state is float [B, 7, 3, 20, 20] in [-1, 1]; frame 0 is the given picture.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor

from wmsd_core.arrays import Image, Images, Videos
from wmsd_core.generators import lora
from wmsd_core.generators.protocol import Adapter, Condition
from wmsd_core.miniature.drawing import SIZE, shrink
from wmsd_core.miniature.language import tokenize
from wmsd_core.miniature.motion import FRAMES
from wmsd_core.miniature.network import LORA_TARGETS, Network, NetworkConfig, noise_shift
from wmsd_core.miniature.weights import WEIGHTS, checksum
from wmsd_core.shapes import Grid, LatentMask, Latents, PerSample

_LEAST_SIGMA = 0.05


@dataclass(frozen=True)
class MiniatureCondition:
    """First frames float [B, 3, 20, 20] in [-1, 1], and words int64 [B, 8]."""

    first: Tensor
    words: Tensor

    def __len__(self) -> int:
        return len(self.words)

    def select(self, rows: Tensor) -> Self:
        return type(self)(self.first[rows], self.words[rows])


class MiniatureGenerator:
    """The Generator protocol over `Network`."""

    name: str = "miniature"
    lora_targets: tuple[str, ...] = LORA_TARGETS

    def __init__(self, network: Network, checksum: str) -> None:
        self.network: torch.nn.Module = network.requires_grad_(False).eval()
        self.checksum: str = checksum

    @classmethod
    def load(cls, path: Path = WEIGHTS, device: str = "cpu") -> Self:
        """The generator with weights from a file that `pretrain.save` wrote.

        Raises:
            ValueError: there is no such file; the message says how to make it.
        """
        known = checksum(path)
        with safe_open(path, "pt") as file:
            network = Network(NetworkConfig(**json.loads(file.metadata()["network"])))
            network.load_state_dict({key: file.get_tensor(key) for key in file.keys()})  # noqa: SIM118, not a mapping
        return cls(network.float().to(device), known)

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self.network.parameters()).device

    def encode(self, images: Images | Sequence[Image], texts: Sequence[str]) -> MiniatureCondition:
        """Pictures of any size, shrunk by area, with their texts.

        Raises:
            ValueError: an unknown word, a text that is too long, or as many images as texts were not given.
        """
        if len(images) != len(texts):
            raise ValueError(f"one text per image is needed, not {len(texts)} texts for {len(images)} images")
        first = torch.from_numpy(np.stack([shrink(image) for image in images])).permute(0, 3, 1, 2) * 2 - 1
        words = torch.from_numpy(np.stack([tokenize(text) for text in texts]))
        return MiniatureCondition(first.contiguous().to(self.device), words.to(self.device))

    def release_encoders(self) -> None:
        """There are none: words are numbers, and the network reads the picture itself."""

    def noise(self, condition: Condition, seeds: Sequence[int]) -> Latents:
        """Noise from one seed per sample; frame 0 is in place. The same seed gives the same noise in any batch."""
        condition = _own(condition)
        shape = (FRAMES - 1, 3, SIZE, SIZE)
        noise = [torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
        return torch.cat([condition.first.unsqueeze(1), torch.stack(noise).to(condition.first)], dim=1)

    def velocity(self, x: Latents, sigma: PerSample, condition: Condition, adapter: Adapter | None) -> Latents:
        """v = (x - x_0 prediction) / sigma, zero in frame 0.

        Below sigma = .05 it is divided by .05: there the network's error would be blown up, and no grid goes there.
        """
        condition = _own(condition)
        lora.use(self.network, adapter)
        sigma = sigma.to(x.dtype)
        frames = x[:, 1:]
        x_0 = self.network(frames, sigma, condition.first, condition.words)
        v = (frames - x_0) / sigma.clamp(min=_LEAST_SIGMA).view(-1, 1, 1, 1, 1)
        return torch.cat([torch.zeros_like(v[:, :1]), v], dim=1)

    def active_mask(self, condition: Condition) -> LatentMask:
        """bool [B, 7, 1, 1, 1]: False for the given frame."""
        mask = torch.ones(len(condition), FRAMES, 1, 1, 1, dtype=torch.bool, device=self.device)
        mask[:, 0] = False
        return mask

    def encode_video(self, videos: Videos, condition: Condition) -> Latents:
        """Frames of any size, shrunk by area; frame 0 is the given picture.

        Raises:
            ValueError: the videos do not have 7 frames.
        """
        if videos.shape[1] != FRAMES:
            raise ValueError(f"the miniature's videos have {FRAMES} frames, not {videos.shape[1]}")
        small = np.stack([[shrink(frame) for frame in video] for video in videos])
        x_0 = torch.from_numpy(small).permute(0, 1, 4, 2, 3).to(self.device) * 2 - 1
        return torch.cat([_own(condition).first.unsqueeze(1), x_0[:, 1:]], dim=1)

    def decode(self, x_0: Latents) -> Videos:
        """uint8 [B, 7, 20, 20, 3]."""
        pixels = ((x_0.detach().float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
        return pixels.permute(0, 1, 3, 4, 2).contiguous().cpu().numpy()

    def grid(self, steps: int) -> Grid:
        """Evenly spaced times, shifted as in pretraining."""
        return noise_shift(torch.linspace(1, 0, steps + 1, dtype=torch.float64))


def _own(condition: Condition) -> MiniatureCondition:
    if not isinstance(condition, MiniatureCondition):
        raise ValueError(f"the miniature needs a condition of its own `encode`, not a {type(condition).__name__}")
    return condition
