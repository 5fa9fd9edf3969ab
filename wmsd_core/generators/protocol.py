"""The contract between a generator and everything that samples, trains or evaluates it.

Convention (as in diffusers): noise level sigma in [0, 1], x_sigma = (1 - sigma) x_0 + sigma eps, the network predicts
v = eps - x_0 = dx/dsigma. The paper's flow time runs the other way: t = 1 - sigma, and its velocity is -v.
"""

from __future__ import annotations  # settings name adapters without reading torch

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, Protocol, Self

from wmsd_core.arrays import Image, Images, Videos

if TYPE_CHECKING:
    import torch

    from wmsd_core.shapes import Grid, LatentMask, Latents, PerSample

Adapter = Literal["policy", "ema", "old", "demonstrator", "critic"]
"""policy: the Executor's, trained. ema: its average. old: a slow copy of whoever learns from rewards. demonstrator: a
Demonstrator's that is trained. critic: for the score of the Executor's samples."""


class Condition(Protocol):
    """What a batch of videos is generated from: image latents and text features, one row per sample."""

    def __len__(self) -> int: ...

    def select(self, rows: torch.Tensor) -> Self:
        """The condition of the given rows, in that order, repeats allowed. `rows` is a 1-D int64 tensor."""
        ...


class Generator(Protocol):
    """A frozen image-to-video model with resident LoRA adapters."""

    @property
    def name(self) -> str: ...

    @property
    def checksum(self) -> str:
        """SHA-256 of the base weights and of the settings that change what is drawn: part of the identity of every video
        and training run."""
        ...

    @property
    def network(self) -> torch.nn.Module:
        """The module whose linears carry the adapters."""
        ...

    @property
    def lora_targets(self) -> tuple[str, ...]:
        """Names of the linears that LoRA adapts, in the form that peft's `target_modules` takes."""
        ...

    def encode(self, images: Images | Sequence[Image], texts: Sequence[str]) -> Condition:
        """The condition for image b with text b. Images may differ in size: each is scaled and cut by itself.

        Raises:
            ValueError: a text that the model cannot read; the message names the word or the length.
        """
        ...

    def release_encoders(self) -> None:
        """Frees the memory of whatever only `encode` needs. A text or image that is new afterwards loads it again."""
        ...

    def noise(self, condition: Condition, seeds: Sequence[int]) -> Latents:
        """Initial state x at sigma = 1, one seed per sample; given latents are already in place, clean."""
        ...

    def velocity(self, x: Latents, sigma: PerSample, condition: Condition, adapter: Adapter | None) -> Latents:
        """v = eps - x_0 at noise level `sigma`; zero on given latents. `adapter=None` is the frozen base."""
        ...

    def active_mask(self, condition: Condition) -> LatentMask:
        """True where latents are generated. Given latents are never noised, never stepped, never in a loss."""
        ...

    def encode_video(self, videos: Videos, condition: Condition) -> Latents:
        """x_0 of recorded videos, uint8 frames as `decode` gives them; given latents are those of the condition.

        Raises:
            ValueError: the videos do not have the number of frames that the generator draws.
        """
        ...

    def decode(self, x_0: Latents) -> Videos:
        """uint8 frames, first frame included."""
        ...

    def grid(self, steps: int) -> Grid:
        """The model's own noise grid for `steps` sampler steps: float64, from 1 down to 0, `steps` + 1 values."""
        ...
