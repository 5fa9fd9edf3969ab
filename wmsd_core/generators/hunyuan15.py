"""HunyuanVideo-1.5 image-to-video at 480p, by the networks of diffusers.

A state is float32 [B, C, F, h, w]. The image is no part of it: the network reads [state, image latent in frame 0, mask] as
2 C + 1 = 65 channels, and the image's SigLIP features beside the text, so every latent is generated and trained.

With the same seed, weights and settings, `sampling.sample` draws the video that `HunyuanVideo15ImageToVideoPipeline` draws
in float32. In bfloat16 that pipeline also rounds the state after each step; here states stay float32.

Step-distilled checkpoints (`use_meanflow`) are refused. They predict the mean velocity up to the next grid point, which is
not the velocity that the objectives are written for.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from diffusers.models.autoencoders.autoencoder_kl_hunyuanvideo15 import AutoencoderKLHunyuanVideo15
from diffusers.models.transformers.transformer_hunyuan_video15 import HunyuanVideo15Transformer3DModel
from diffusers.pipelines.hunyuan_video1_5.pipeline_hunyuan_video1_5_image2video import (
    HunyuanVideo15ImageToVideoPipeline,
)
from PIL.Image import Resampling
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from wmsd_core.arrays import Image
from wmsd_core.generators import checkpoints, lora
from wmsd_core.generators.features import Features
from wmsd_core.generators.pretrained import PretrainedGenerator, fitted, pixels_of
from wmsd_core.generators.protocol import Adapter, Condition
from wmsd_core.generators.settings import Hunyuan15Config
from wmsd_core.shapes import Grid, LatentMask, Latents, PerSample

_IMAGE_STREAM = ("attn.to_q", "attn.to_k", "attn.to_v", "attn.to_out.0", "ff.net.0.proj", "ff.net.2")
_TEXT_STREAM = ("attn.add_k_proj", "attn.add_v_proj")
_TEXT_RESULT = ("attn.add_q_proj", "attn.to_add_out", "ff_context.net.0.proj", "ff_context.net.2")
"""What of the text stream acts only through the text stream's result, which the last block's is thrown away."""


@dataclass(frozen=True)
class Text:
    """Qwen features [B, L, D] and ByT5 features of quoted words [B, M, E], each with its mask of what is no padding."""

    words: Tensor
    words_mask: Tensor
    glyphs: Tensor
    glyphs_mask: Tensor

    def select(self, rows: Tensor) -> "Text":
        return Text(self.words[rows], self.words_mask[rows], self.glyphs[rows], self.glyphs_mask[rows])


@dataclass(frozen=True)
class Hunyuan15Condition:
    """Image latents [B, C, 1, h, w], SigLIP features [B, N, D], the text, and the one that guidance leads away from."""

    latent: Tensor
    seen: Tensor
    text: Text
    negative: Text | None

    def __len__(self) -> int:
        return len(self.latent)

    def select(self, rows: Tensor) -> Self:
        rows = rows.to(self.latent.device)
        return type(self)(self.latent[rows], self.seen[rows], self.text.select(rows), self.negative)


class Hunyuan15Generator(PretrainedGenerator):
    """The Generator protocol over HunyuanVideo-1.5.

    Raises:
        ValueError: the weights cannot be had, or are of a step-distilled model.
    """

    name: ClassVar[str] = "hunyuan15"
    parts: ClassVar[tuple[str, ...]] = (
        "transformer",
        "vae",
        "text_encoder",
        "tokenizer",
        "text_encoder_2",
        "tokenizer_2",
        "image_encoder",
        "feature_extractor",
        "guider",
        "scheduler",
    )
    strides: ClassVar[tuple[int, int]] = (4, 16)
    config: Hunyuan15Config

    def __init__(self, config: Hunyuan15Config, features: Path | None = None, *, split: bool = False) -> None:
        super().__init__(config, features, split=split)
        sizes = checkpoints.read_config(self.folder, "transformer")
        if sizes.get("use_meanflow"):
            raise ValueError(
                "models.hunyuan15.weights: a step-distilled checkpoint (use_meanflow) predicts mean velocities, which cannot "
                "be trained here; take the checkpoint that is not distilled"
            )
        self.channels, self.blocks = int(sizes["out_channels"]), int(sizes["num_layers"])

    @property
    def lora_targets(self) -> tuple[str, ...]:
        """All attention and feed-forward linears of the blocks, 12 each, but for 4 of the last.

        Those 4 only make the text stream's result, and the network throws that of its last block away: they would never
        receive a gradient.
        """
        return tuple(
            f"transformer_blocks.{block}.{linear}"
            for block in range(self.blocks)
            for linear in _IMAGE_STREAM + _TEXT_STREAM + (_TEXT_RESULT if block < self.blocks - 1 else ())
        )

    @property
    def tokens(self) -> dict[str, int]:
        return {"video": self.latent_frames * self.latent_height * self.latent_width}

    def _load_network(self) -> Any:
        return self.load_part(HunyuanVideo15Transformer3DModel, "transformer")

    def _load_vae(self) -> Any:
        return self.load_part(AutoencoderKLHunyuanVideo15, "vae")

    def _load_encoders(self) -> HunyuanVideo15ImageToVideoPipeline:
        return HunyuanVideo15ImageToVideoPipeline.from_pretrained(
            self.folder, transformer=None, vae=self.vae, dtype=self.dtype, local_files_only=True
        )

    def _encode_text(self, text: str) -> Features:
        """Features of what is no padding, by which they are a tenth as large."""
        words, words_mask, glyphs, glyphs_mask = self.encoders.encode_prompt(text, device=self.device, dtype=self.dtype)
        if words_mask.all():
            limit = words_mask.shape[1]
            raise ValueError(f"a text is too long for HunyuanVideo-1.5, which reads {limit} tokens: '{text[:60]}...'")
        return {"words": words[words_mask.bool()], "glyphs": glyphs[glyphs_mask.bool()]}

    def _encode_image(self, image: Image) -> Features:
        """Latent and SigLIP features of the image, scaled and cut to the size of the video."""
        picture = fitted(image, width=self.config.width, height=self.config.height, resample=Resampling.LANCZOS)
        pixels = pixels_of(picture).to(self.device, self.dtype)[None, :, None]
        latent = self.vae.encode(pixels).latent_dist.mode() * self.vae.config.scaling_factor
        seen = self.encoders.encode_image(picture, 1, self.device, self.dtype)
        return {"latent": latent[0], "seen": seen[0]}

    def _condition(self, images: Sequence[Features], texts: Sequence[Features]) -> Hunyuan15Condition:
        latent, seen = (torch.stack([image[key] for image in images]).to(self.device) for key in ("latent", "seen"))
        return Hunyuan15Condition(latent, seen, self._text(texts), self._negative)

    def _text(self, texts: Sequence[Features]) -> Text:
        words, words_mask = self._padded([text["words"] for text in texts])
        return Text(words, words_mask, *self._padded([text["glyphs"] for text in texts]))

    def _padded(self, features: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Features as one batch [B, L, D], L being the longest length and at least 1, with its mask [B, L]."""
        longest = max(1, *(len(rows) for rows in features))
        batch = pad_sequence([*features, features[0].new_zeros(longest, features[0].shape[1])], batch_first=True)[:-1]
        mask = torch.arange(longest)[None] < torch.tensor([[len(rows)] for rows in features])
        return batch.to(self.device), mask.to(self.device, self.dtype)

    @cached_property
    def _negative(self) -> Text | None:
        """The text that guidance leads away from, where there is guidance."""
        return self._text([self.text_features(self.config.negative_prompt)]) if self.config.guidance > 1 else None

    def noise(self, condition: Condition, seeds: Sequence[int]) -> Latents:
        """Noise from one seed per sample, drawn as diffusers draws it."""
        shape = (self.channels, self.latent_frames, self.latent_height, self.latent_width)
        states = [torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
        return torch.stack(states).to(self.device)

    def active_mask(self, condition: Condition) -> LatentMask:
        """bool [B, 1, 1, 1, 1]: True, for the image is given beside the state."""
        return torch.ones(len(condition), 1, 1, 1, 1, dtype=torch.bool, device=self.device)

    def velocity(self, x: Latents, sigma: PerSample, condition: Condition, adapter: Adapter | None) -> Latents:
        """v, guided: v_negative + guidance (v - v_negative)."""
        condition = _own(condition)
        lora.use(self.network, adapter)
        v = self._unguided(x, sigma, condition, condition.text)
        if condition.negative is None:
            return v
        negative = condition.negative.select(torch.zeros(len(x), dtype=torch.long, device=self.device))
        v_negative = self._unguided(x, sigma, condition, negative)
        return v_negative + self.config.guidance * (v - v_negative)

    def _unguided(self, x: Latents, sigma: PerSample, condition: Hunyuan15Condition, text: Text) -> Latents:
        given = torch.zeros_like(x, dtype=self.dtype)
        given[:, :, :1] = condition.latent
        mask = torch.zeros_like(given[:, :1])
        mask[:, :, 0] = 1
        return self.network(
            hidden_states=torch.cat([x.to(self.dtype), given, mask], 1),
            timestep=self.timestep(sigma).to(self.dtype),
            encoder_hidden_states=text.words,
            encoder_attention_mask=text.words_mask,
            encoder_hidden_states_2=text.glyphs,
            encoder_attention_mask_2=text.glyphs_mask,
            image_embeds=condition.seen,
            return_dict=False,
        )[0].float()

    def _encode_video(self, pixels: Tensor) -> Tensor:
        return (self.vae.encode(pixels).latent_dist.mode() * self.vae.config.scaling_factor)[0].float()

    def _decode(self, x_0: Tensor) -> Tensor:
        latent = x_0[None] / self.vae.config.scaling_factor
        return self.vae.decode(latent.to(self.dtype), return_dict=False)[0][0].permute(1, 0, 2, 3)

    def grid(self, steps: int) -> Grid:
        """Even steps, shifted by the constant of the checkpoint's scheduler (5 at 480p)."""
        return self.spaced(np.linspace(1, 0, steps + 1)[:-1])


def _own(condition: Condition) -> Hunyuan15Condition:
    if not isinstance(condition, Hunyuan15Condition):
        raise ValueError(f"HunyuanVideo-1.5 needs a condition of its own `encode`, not a {type(condition).__name__}")
    return condition
