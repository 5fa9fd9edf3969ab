"""What generators with pretrained weights have in common: loading by parts, cached features, adapters, batches.

Nothing is loaded before it is needed. Where all features are in the cache, no text encoder is ever loaded; where only the
checksum is asked for, nothing is.
"""

import copy
import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from diffusers.pipelines.pipeline_utils import DiffusionPipeline
from diffusers.schedulers.scheduling_flow_match_euler_discrete import FlowMatchEulerDiscreteScheduler
from PIL import Image as Pictures
from torch import Tensor

from wmsd_core.arrays import Image, Images, Videos
from wmsd_core.generators import checkpoints, lora
from wmsd_core.generators.features import FeatureCache, Features
from wmsd_core.generators.protocol import Adapter, Condition
from wmsd_core.generators.settings import PretrainedConfig
from wmsd_core.shapes import Grid, LatentMask, Latents, PerSample

CHECKSUMS = "checksums.json"
"""Where the folder of features remembers the sums of weight files."""
_MAX = 1000
"""Networks of diffusers count noise levels from 0 to 1000."""


class PretrainedGenerator(ABC):
    """The Generator protocol, but for what differs between models.

    Args:
        config: settings of the model.
        features: folder where features of texts and images are kept. None: they are kept in memory only.
        split: the network is going to be split over several processes. It waits for that in the memory of the CPU, since
            it may not fit on the device in whole.

    Raises:
        ValueError: the weights cannot be had, or are of another model.
    """

    name: ClassVar[str]
    parts: ClassVar[tuple[str, ...]]
    """Subfolders of the pipeline that are used. The first is the network."""
    strides: ClassVar[tuple[int, int]]
    """Frames and pixels per latent, in time and in space."""

    def __init__(self, config: PretrainedConfig, features: Path | None = None, *, split: bool = False) -> None:
        time, space = self.strides
        if (config.frames - 1) % time:
            raise ValueError(f"models.{self.name}.frames is {config.frames}: it must be {time} k + 1")
        if config.width % space or config.height % space:
            raise ValueError(f"models.{self.name}: width and height must be multiples of {space}")
        self.config, self._split, self.is_hollow = config, split, False
        self.folder = checkpoints.find(config.weights, self.parts, f"models.{self.name}.weights")
        self.features = FeatureCache(features)
        self.latent_frames = (config.frames - 1) // time + 1
        self.latent_height, self.latent_width = config.height // space, config.width // space
        self._encoders: Any = None
        self._sums = features / CHECKSUMS if features else None

    # What differs between models.

    @property
    @abstractmethod
    def lora_targets(self) -> tuple[str, ...]:
        """Names of the linears that LoRA adapts."""

    @property
    @abstractmethod
    def tokens(self) -> dict[str, int]:
        """Tokens of one video in the network, by what they show."""

    @abstractmethod
    def _load_network(self) -> Any:
        """The transformer, as its class loads it."""

    @abstractmethod
    def _load_vae(self) -> Any:
        """The video autoencoder, as its class loads it."""

    @abstractmethod
    def _load_encoders(self) -> DiffusionPipeline:
        """A pipeline without transformer, for what it knows about texts and images."""

    @abstractmethod
    def _encode_text(self, text: str) -> Features:
        """Features of one text, without an axis for samples.

        Raises:
            ValueError: the text is too long.
        """

    @abstractmethod
    def _encode_image(self, image: Image) -> Features:
        """Features of one image, without an axis for samples."""

    @abstractmethod
    def _condition(self, images: Sequence[Features], texts: Sequence[Features]) -> Condition: ...

    @abstractmethod
    def _encode_video(self, pixels: Tensor) -> Tensor:
        """[1, 3, T, H, W] in [-1, 1] as a state [...] in float32."""

    @abstractmethod
    def _decode(self, x_0: Tensor) -> Tensor:
        """Pixels [T, 3, H, W] in [-1, 1] of one sample."""

    @abstractmethod
    def noise(self, condition: Condition, seeds: Sequence[int]) -> Latents: ...

    @abstractmethod
    def velocity(self, x: Latents, sigma: PerSample, condition: Condition, adapter: Adapter | None) -> Latents: ...

    @abstractmethod
    def active_mask(self, condition: Condition) -> LatentMask: ...

    @abstractmethod
    def grid(self, steps: int) -> Grid: ...

    # What does not.

    @cached_property
    def weights_checksum(self) -> str:
        """SHA-256 of the files of all parts."""
        return checkpoints.checksum(self.folder, self.parts, self._sums)

    @cached_property
    def checksum(self) -> str:
        """SHA-256 of the weights and of the settings that change what is drawn."""
        identity = json.dumps([self.name, self.weights_checksum, self.config.identity()], sort_keys=True)
        return hashlib.sha256(identity.encode()).hexdigest()

    def hollow(self, **changes: Any) -> Self:
        """This generator on the CPU, with other settings if need be, and with networks of its own that have shapes and number
        formats and no numbers: they lie on the device `meta`, for whoever counts what they need."""
        made = copy.copy(self)
        made.config, made.is_hollow = self.config.model_copy(update={"device": "cpu"} | changes), True
        for loaded in ("network", "vae", "device"):
            vars(made).pop(loaded, None)
        return made

    @cached_property
    def device(self) -> torch.device:
        if self.config.device != "auto":
            return torch.device(self.config.device)
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")

    @property
    def dtype(self) -> torch.dtype:
        """Number format of weights and activations."""
        return torch.bfloat16 if self.config.dtype == "bfloat16" else torch.float32

    @cached_property
    def network(self) -> torch.nn.Module:
        network = self._load_network().requires_grad_(False).eval()
        if self.config.storage == "float8":
            network.enable_layerwise_casting(storage_dtype=torch.float8_e4m3fn, compute_dtype=self.dtype)
        if self.config.activation_checkpointing:
            lora.checkpoint_activations(network)
        return network if self._split or self.is_hollow else network.to(self.device)

    @cached_property
    def vae(self) -> Any:
        vae = self._load_vae().requires_grad_(False).eval()
        if self.config.tiled_decode:
            vae.enable_tiling()
        return vae if self.is_hollow else vae.to(self.device)

    @cached_property
    def scheduler(self) -> Any:
        """The checkpoint's own: it knows how its noise grid is spaced."""
        return FlowMatchEulerDiscreteScheduler.from_pretrained(
            self.folder, subfolder="scheduler", local_files_only=True
        )

    @property
    def encoders(self) -> Any:
        """Text and image encoders, on the device."""
        if self._encoders is None:
            self._encoders = self._load_encoders().to(self.device)
        return self._encoders

    def release_encoders(self) -> None:
        """Frees text and image encoders; what is not in the cache later loads them again."""
        self._encoders = None
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def load_part(self, cls: Any, part: str) -> Any:
        """One part of the pipeline, in the number format of the settings."""
        if self.is_hollow:
            with torch.device("meta"):
                made = cls.from_config(checkpoints.read_config(self.folder, part))
            return torch.nn.Module.to(made, self.dtype)
        return cls.from_pretrained(self.folder, subfolder=part, dtype=self.dtype, local_files_only=True)

    @torch.no_grad()
    def encode(self, images: Images | Sequence[Image], texts: Sequence[str]) -> Condition:
        """Features of images and texts, each computed once.

        Raises:
            ValueError: a text is too long, or there are not as many images as texts.
        """
        if len(images) != len(texts):
            raise ValueError(f"one text per image is needed, not {len(texts)} texts for {len(images)} images")
        return self._condition([self.image_features(image) for image in images], [self.text_features(t) for t in texts])

    @torch.no_grad()
    def text_features(self, text: str) -> Features:
        source = ["text", self.name, self.weights_checksum, self.config.dtype, text]
        return self.features.get(source, lambda: self._encode_text(text))

    @torch.no_grad()
    def image_features(self, image: Image) -> Features:
        pixels = hashlib.sha256(np.ascontiguousarray(image).tobytes()).hexdigest()
        source = ["image", self.name, self.weights_checksum, self.config.identity(), list(image.shape), pixels]
        return self.features.get(source, lambda: self._encode_image(image))

    @torch.no_grad()
    def encode_video(self, videos: Videos, condition: Condition) -> Latents:
        """x_0 of recorded videos of any size, scaled and cut; one at a time. Given latents are those of the condition.

        Raises:
            ValueError: the videos do not have as many frames as the settings say, or the state holds more than a video.
        """
        if videos.shape[1] != self.config.frames:
            raise ValueError(
                f"videos must have models.{self.name}.frames = {self.config.frames} frames, not {videos.shape[1]}"
            )
        width, height = self.config.width, self.config.height
        recorded: list[Tensor] = []
        for video in videos:
            frames = [
                pixels_of(fitted(f, width=width, height=height, resample=Pictures.Resampling.BILINEAR)) for f in video
            ]
            recorded.append(self._encode_video(torch.stack(frames, 1)[None].to(self.device, self.dtype)))
        given = self.noise(condition, [0] * len(videos))
        return torch.where(self.active_mask(condition), torch.stack(recorded), given)

    @torch.no_grad()
    def decode(self, x_0: Latents) -> Videos:
        """uint8 [B, T, H, W, 3]; one sample at a time, since pixels need more memory than latents."""
        return np.stack([self.film(sample).cpu().numpy() for sample in x_0])

    def film(self, x_0: Tensor) -> Tensor:
        """uint8 [T, H, W, 3] of one sample, on the device."""
        pixels = (self._decode(x_0).float() / 2 + 0.5).clamp(0, 1)
        return (pixels * 255).round().to(torch.uint8).permute(0, 2, 3, 1)

    def spaced(self, sigmas: np.ndarray, **settings: float) -> Grid:
        """The scheduler's grid for these evenly spaced noise levels, with the 0 at its end."""
        self.scheduler.set_timesteps(sigmas=sigmas.tolist(), **settings)
        return self.scheduler.sigmas.double()

    def timestep(self, sigma: PerSample) -> Tensor:
        """The noise level as networks of diffusers count it."""
        return sigma.float() * _MAX


def fitted(image: Image, *, width: int, height: int, resample: Pictures.Resampling) -> Pictures.Image:
    """The image scaled to cover width x height, and cut to it around its centre."""
    picture = Pictures.fromarray(image)
    wide = picture.width * height > width * picture.height
    scaled = (
        (picture.width * height // picture.height, height) if wide else (width, picture.height * width // picture.width)
    )
    picture = picture.resize(scaled, resample=resample)
    left, top = scaled[0] // 2 - width // 2, scaled[1] // 2 - height // 2
    return picture.crop((left, top, left + width, top + height))


def pixels_of(picture: Pictures.Image) -> Tensor:
    """float32 [3, H, W] in [-1, 1]."""
    values = torch.from_numpy(np.asarray(picture, dtype=np.float32)) / 255
    return (values * 2 - 1).permute(2, 0, 1).contiguous()
