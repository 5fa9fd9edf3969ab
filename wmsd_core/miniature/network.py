"""A video transformer of .9 M parameters: predicts a clip's clean frames from noisy ones, its first frame and a text.

A token is a tubelet: 4x4 pixels through all six generated frames, beside the same pixels of the given first frame. The
25 tubelets and the words attend to one another. The head adds to the first frame, so that what rests costs nothing.
"""

import math

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from wmsd_core.config import Config
from wmsd_core.miniature.drawing import CELL, SIZE
from wmsd_core.miniature.language import LENGTH, WORDS
from wmsd_core.miniature.motion import FRAMES
from wmsd_core.miniature.scene import SIDE

LORA_TARGETS = ("qkv", "mix", "up", "down")
"""The linears of every block."""
_FIRST = CELL * CELL * 3
_TUBELET = _FIRST * (FRAMES - 1)


SHIFT = 4.0
"""Noise shift of training and of the sampler's grid."""


def noise_shift(uniform: Tensor) -> Tensor:
    """sigma = s u / (1 + (s - 1) u) with s = 4: most steps are spent where the motion is decided."""
    return SHIFT * uniform / (1 + (SHIFT - 1) * uniform)


class NetworkConfig(Config):
    """Size of the miniature's generator."""

    width: int = Field(default=128, gt=0)
    """Features of a token."""
    depth: int = Field(default=4, gt=0)
    """Transformer blocks."""
    heads: int = Field(default=4, gt=0)
    """Attention heads; divides `width`."""


class Block(nn.Module):
    """Attention among all tokens, then a feed-forward layer, each added to its input."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_attention = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.mix = nn.Linear(width, width, bias=False)
        self.norm_feed = nn.LayerNorm(width)
        self.up = nn.Linear(width, 4 * width, bias=False)
        self.down = nn.Linear(4 * width, width, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        batch, length, width = tokens.shape
        qkv = self.qkv(self.norm_attention(tokens)).view(batch, length, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(batch, length, width)
        tokens = tokens + self.mix(seen)
        return tokens + self.down(F.gelu(self.up(self.norm_feed(tokens)), approximate="tanh"))


class Network(nn.Module):
    """x_0 prediction of the six generated frames."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.patch = nn.Linear(_FIRST + _TUBELET, width)
        self.place = nn.Parameter(torch.randn(SIDE * SIDE, width) * 0.5)
        self.word = nn.Embedding(len(WORDS), width)
        self.turn = nn.Parameter(torch.randn(LENGTH, width) * 0.5)
        self.level = nn.Sequential(nn.Linear(32, width), nn.SiLU(), nn.Linear(width, width))
        self.blocks = nn.ModuleList(Block(width, config.heads) for _ in range(config.depth))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, _TUBELET)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, x: Tensor, sigma: Tensor, first: Tensor, words: Tensor) -> Tensor:
        """Clean frames from noisy `x`, both [B, 6, 3, 20, 20], `sigma` [B], `first` [B, 3, 20, 20], `words` [B, 8]."""
        pixels = torch.cat([first.unsqueeze(1), x], dim=1)
        batch = len(x)
        cut = pixels.view(batch, FRAMES, 3, SIDE, CELL, SIDE, CELL).permute(0, 3, 5, 1, 2, 4, 6)
        tubelets = self.patch(cut.reshape(batch, SIDE * SIDE, _FIRST + _TUBELET)) + self.place
        level = self.level(_waves(sigma)).unsqueeze(1)
        tokens = torch.cat([tubelets, self.word(words) + self.turn], dim=1) + level
        for block in self.blocks:
            tokens = block(tokens)
        out = self.head(self.norm(tokens[:, : SIDE * SIDE]))
        frames = out.view(batch, SIDE, SIDE, FRAMES - 1, 3, CELL, CELL).permute(0, 3, 4, 1, 5, 2, 6)
        return first.unsqueeze(1) + frames.reshape(batch, FRAMES - 1, 3, SIZE, SIZE)


def _waves(sigma: Tensor) -> Tensor:
    """[B, 32]: sines and cosines of the noise level."""
    rates = torch.exp(torch.linspace(0, math.log(100), 16, device=sigma.device, dtype=sigma.dtype))
    angles = sigma[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], dim=1)
