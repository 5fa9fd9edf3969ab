"""LTX-2 image-to-video (arXiv:2601.03233), versions 2.0 and 2.3, by the networks of diffusers.

A state is float32 [B, S + A, C]: S = F h w video tokens in the order (frame, row, column), the first h w of which are the
given image, then A sound tokens where sound is sampled with the video (C = 128 for both). Given tokens have noise level 0
in the network's eyes, whatever the level of the others.

With the same seed, weights and settings, `sampling.sample` draws the video that `LTX2ImageToVideoPipeline` draws.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from diffusers.models.autoencoders.autoencoder_kl_ltx2 import AutoencoderKLLTX2Video
from diffusers.models.transformers.transformer_ltx2 import LTX2VideoTransformer3DModel
from diffusers.pipelines.ltx2.pipeline_ltx2_image2video import LTX2ImageToVideoPipeline
from diffusers.pipelines.ltx2.utils import apply_image_conditioning_crf
from PIL.Image import Resampling
from torch import Tensor

from wmsd_core.arrays import Image
from wmsd_core.generators import checkpoints, lora
from wmsd_core.generators.features import Features
from wmsd_core.generators.pretrained import PretrainedGenerator, fitted, pixels_of
from wmsd_core.generators.protocol import Adapter, Condition
from wmsd_core.generators.settings import Ltx2Config
from wmsd_core.shapes import Grid, LatentMask, Latents, PerSample

DISTILLED = (1.0, 0.99375, 0.9875, 0.98125, 0.975, 0.909375, 0.725, 0.421875, 0.0)
"""The published grid of the distilled model. Its scheduler's shift must not act on it."""
_ATTENTION = ("to_q", "to_k", "to_v", "to_out.0")
_FEED_FORWARD = ("net.0.proj", "net.2")


@dataclass(frozen=True)
class Text:
    """What the network reads of a text: video [B, L, D], audio [B, L, E], mask [B, L]; one row may serve all samples."""

    video: Tensor
    audio: Tensor
    mask: Tensor

    def rows(self, count: int) -> "Text":
        return Text(*(part.expand(count, *part.shape[1:]) for part in (self.video, self.audio, self.mask)))


@dataclass(frozen=True)
class Ltx2Condition:
    """Given tokens [B, h w, C] in float32, the text, and the text that guidance leads away from (one row, or none)."""

    given: Tensor
    text: Text
    negative: Text | None

    def __len__(self) -> int:
        return len(self.given)

    def select(self, rows: Tensor) -> Self:
        rows = rows.to(self.given.device)
        text = Text(self.text.video[rows], self.text.audio[rows], self.text.mask[rows])
        return replace(self, given=self.given[rows], text=text)


class Ltx2Generator(PretrainedGenerator):
    """The Generator protocol over LTX-2.

    Raises:
        ValueError: the weights cannot be had, or are of a version that is not supported.
    """

    name: ClassVar[str] = "ltx2"
    parts: ClassVar[tuple[str, ...]] = (
        "transformer",
        "vae",
        "audio_vae",
        "text_encoder",
        "tokenizer",
        "connectors",
        "scheduler",
    )
    strides: ClassVar[tuple[int, int]] = (8, 32)
    config: Ltx2Config

    def __init__(self, config: Ltx2Config, features: Path | None = None, *, split: bool = False) -> None:
        super().__init__(config, features, split=split)
        sizes = checkpoints.read_config(self.folder, "transformer")
        if sizes.get("use_keyframes_abs_pos_embedding"):
            raise ValueError("models.ltx2.weights: LTX-2.5 is not supported; take 2.0 or 2.3")
        if config.audio == "joint" and sizes["in_channels"] != sizes["audio_in_channels"]:
            raise ValueError(
                "models.ltx2.audio: this checkpoint's tokens of video and sound differ in size; set it to off"
            )
        self.channels, self.audio_channels = int(sizes["in_channels"]), int(sizes["audio_in_channels"])
        self.video_tokens = self.latent_frames * self.latent_height * self.latent_width
        self.given_tokens = self.latent_height * self.latent_width
        self.audio_tokens, self._audio_shape = self._audio()
        # 2.3 modulates what it reads of a text by the noise level, and each stream by that of the other.
        self._is_2_3 = bool(sizes.get("cross_attn_mod"))
        self._can_perturb = bool(sizes.get("perturbed_attn"))

    def _audio(self) -> tuple[int, tuple[int, int, int]]:
        """Sound tokens of a state, and the shape (channels, length, bins) that their noise is drawn in."""
        if self.config.audio == "off":
            return 0, (0, 0, 0)
        sizes = checkpoints.read_config(self.folder, "audio_vae")
        seconds = self.config.frames / self.config.fps
        length = round(seconds * sizes["sample_rate"] / sizes["mel_hop_length"] / 4)
        return length, (int(sizes["latent_channels"]), length, int(sizes["mel_bins"]) // 4)

    @property
    def lora_targets(self) -> tuple[str, ...]:
        """All attention and feed-forward linears of what is trained: 28 per block with sound, 10 without.

        The published trainer for this model adapts the 28. Without sound the other 18 would never receive a gradient.
        """
        attention = ["attn1", "attn2"]
        feed_forward = ["ff"]
        if self.audio_tokens:
            attention += ["audio_attn1", "audio_attn2", "audio_to_video_attn", "video_to_audio_attn"]
            feed_forward += ["audio_ff"]
        return tuple(
            f"{module}.{linear}"
            for modules, linears in ((attention, _ATTENTION), (feed_forward, _FEED_FORWARD))
            for module in modules
            for linear in linears
        )

    @property
    def tokens(self) -> dict[str, int]:
        return {"video": self.video_tokens, "sound": self.audio_tokens}

    def _load_network(self) -> Any:
        return self.load_part(LTX2VideoTransformer3DModel, "transformer")

    def _load_vae(self) -> Any:
        return self.load_part(AutoencoderKLLTX2Video, "vae")

    def _load_encoders(self) -> LTX2ImageToVideoPipeline:
        unused = ("transformer", "vae", "audio_vae", "vocoder", "processor", "prompt_enhancer", "duration_head")
        return LTX2ImageToVideoPipeline.from_pretrained(
            self.folder, dtype=self.dtype, local_files_only=True, **dict.fromkeys(unused)
        )

    def _encode_text(self, text: str) -> Features:
        encoders = self.encoders
        length = len(encoders.tokenizer(text.strip()).input_ids)
        if length > self.config.text_length:
            raise ValueError(
                f"a text of {length} tokens is too long for LTX-2, which reads {self.config.text_length}: '{text[:60]}...'"
            )
        hidden, mask, _, _ = encoders.encode_prompt(
            text, do_classifier_free_guidance=False, max_sequence_length=self.config.text_length, device=self.device
        )
        side = encoders.tokenizer.padding_side
        video, audio, mask = encoders.connectors(hidden, mask, padding_side=side)
        return {"video": video[0], "audio": audio[0], "mask": mask[0]}

    def _encode_image(self, image: Image) -> Features:
        """Compressed at its own size, scaled, encoded and normalised, as in the model's training."""
        image = apply_image_conditioning_crf(image, self.config.image_crf)
        picture = fitted(image, width=self.config.width, height=self.config.height, resample=Resampling.BILINEAR)
        pixels = pixels_of(picture).to(self.device, self.dtype)[None, :, None]
        latent = self.vae.encode(pixels).latent_dist.mode().float()
        mean, std = self._statistics()
        return {"given": _tokens((latent[0] - mean) / std)}

    def _statistics(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation [C, 1, 1, 1] of latents."""
        mean, std = (self.vae.latents_mean, self.vae.latents_std)
        return mean.float().view(-1, 1, 1, 1), std.float().view(-1, 1, 1, 1) / self.vae.config.scaling_factor

    def _condition(self, images: Sequence[Features], texts: Sequence[Features]) -> Ltx2Condition:
        given = torch.stack([image["given"] for image in images]).to(self.device)
        return Ltx2Condition(given, self._text(texts), self._negative)

    def _text(self, texts: Sequence[Features]) -> Text:
        video, audio, mask = (
            torch.stack([text[key] for text in texts]).to(self.device) for key in ("video", "audio", "mask")
        )
        if not self.audio_tokens:
            # The network insists on a stream of sound. One token that hears nothing costs nothing.
            return Text(video, torch.zeros_like(audio[:, :1]), mask)
        return Text(video, audio, mask)

    @cached_property
    def _negative(self) -> Text | None:
        """The text that guidance leads away from, where there is guidance by text."""
        guidance = self.config.guidance
        if self.config.schedule == "distilled" or not (
            guidance.text > 1 or (self.audio_tokens and guidance.audio_text > 1)
        ):
            return None
        return self._text([self.text_features(guidance.negative_prompt)])

    def noise(self, condition: Condition, seeds: Sequence[int]) -> Latents:
        """Noise from one seed per sample, drawn as diffusers draws it; given tokens are in place."""
        condition = _own(condition)
        shape = (self.channels, self.latent_frames, self.latent_height, self.latent_width)
        states: list[Tensor] = []
        for seed in seeds:
            generator = torch.Generator().manual_seed(seed)
            video = _tokens(torch.randn(shape, generator=generator))
            sound = torch.randn(self._audio_shape, generator=generator).transpose(0, 1).flatten(1)
            states.append(torch.cat([video, sound]) if self.audio_tokens else video)
        x = torch.stack(states).to(self.device)
        x[:, : self.given_tokens] = condition.given
        return x

    def active_mask(self, condition: Condition) -> LatentMask:
        """bool [B, S + A, 1]: False for the tokens of the given image."""
        mask = torch.ones(
            len(condition), self.video_tokens + self.audio_tokens, 1, dtype=torch.bool, device=self.device
        )
        mask[:, : self.given_tokens] = False
        return mask

    def velocity(self, x: Latents, sigma: PerSample, condition: Condition, adapter: Adapter | None) -> Latents:
        """v, guided with the full schedule, zero on given tokens."""
        condition = _own(condition)
        lora.use(self.network, adapter)
        v = self._unguided(x, sigma, condition.text)
        if self.config.schedule == "full":
            v = self._guided(v, x, sigma, condition)
        return torch.where(self.active_mask(condition), v, 0.0)

    def _unguided(
        self, x: Latents, sigma: PerSample, text: Text, *, isolated: bool = False, perturbed: bool = False
    ) -> Latents:
        """One pass of the network, given tokens included."""
        t = self.timestep(sigma)
        per_token = t[:, None].expand(-1, self.video_tokens).clone()
        per_token[:, : self.given_tokens] = 0
        states = x.to(self.dtype)
        video, sound = states[:, : self.video_tokens], states[:, self.video_tokens :]
        if not self.audio_tokens:
            sound = states.new_zeros(len(x), 1, self.audio_channels)
        v_video, v_sound = self.network(
            hidden_states=video,
            audio_hidden_states=sound,
            encoder_hidden_states=text.video,
            audio_encoder_hidden_states=text.audio,
            timestep=per_token,
            audio_timestep=t,
            sigma=t,
            encoder_attention_mask=text.mask,
            audio_encoder_attention_mask=text.mask if self.audio_tokens else text.mask[:, :1],
            num_frames=self.latent_frames,
            height=self.latent_height,
            width=self.latent_width,
            fps=self.config.fps,
            audio_num_frames=sound.shape[1],
            isolate_modalities=isolated or not self.audio_tokens,
            spatio_temporal_guidance_blocks=list(self.config.guidance.blocks) if perturbed else None,
            use_cross_timestep=self._is_2_3,
            return_dict=False,
        )
        return (torch.cat([v_video, v_sound], 1) if self.audio_tokens else v_video).float()

    def _guided(self, v: Latents, x: Latents, sigma: PerSample, condition: Ltx2Condition) -> Latents:
        """Guidance by text, perturbation and modality, then the rescaling, on predictions of x_0 as published.

        x_0 = x - sigma v. Weights per token: those of video, then those of sound.
        """
        scale, count = self.config.guidance, len(x)
        predictions: list[tuple[Tensor, Latents]] = []
        if condition.negative is not None:
            weight = self._weights(scale.text - 1, scale.audio_text - 1)
            predictions.append((weight, self._unguided(x, sigma, condition.negative.rows(count))))
        if self._can_perturb and (scale.perturbation or (self.audio_tokens and scale.audio_perturbation)):
            weight = self._weights(scale.perturbation, scale.audio_perturbation)
            predictions.append((weight, self._unguided(x, sigma, condition.text, perturbed=True)))
        if self.audio_tokens and (scale.modality > 1 or scale.audio_modality > 1):
            weight = self._weights(scale.modality - 1, scale.audio_modality - 1)
            predictions.append((weight, self._unguided(x, sigma, condition.text, isolated=True)))
        if not predictions:
            return v
        level = sigma.float().view(-1, 1, 1)
        x_0 = x - level * v
        guided = x_0 + sum(weight * (x_0 - (x - level * other)) for weight, other in predictions)
        parts = (self.video_tokens, self.audio_tokens)
        rescaled = [
            _rescaled(new, old, by)
            for new, old, by in zip(
                guided.split(parts, 1), x_0.split(parts, 1), (scale.rescale, scale.audio_rescale), strict=True
            )
        ]
        return (x - torch.cat(rescaled, 1)) / level

    def _weights(self, video: float, audio: float) -> Tensor:
        values = torch.full((1, self.video_tokens + self.audio_tokens, 1), video, device=self.device)
        values[:, self.video_tokens :] = audio
        return values

    def _encode_video(self, pixels: Tensor) -> Tensor:
        if self.audio_tokens:
            raise ValueError("recorded videos come without sound: set models.ltx2.audio to off")
        latent = self.vae.encode(pixels).latent_dist.mode().float()
        mean, std = self._statistics()
        return _tokens((latent[0] - mean) / std)

    def _decode(self, x_0: Tensor) -> Tensor:
        mean, std = self._statistics()
        shape = (self.latent_frames, self.latent_height, self.latent_width, self.channels)
        latent = x_0[: self.video_tokens].view(shape).permute(3, 0, 1, 2) * std + mean
        conditioned = self.vae.config.timestep_conditioning
        level = torch.zeros(1, device=self.device, dtype=self.dtype) if conditioned else None
        return self.vae.decode(latent[None].to(self.dtype), level, return_dict=False)[0][0].permute(1, 0, 2, 3)

    def grid(self, steps: int) -> Grid:
        """Distilled: the published 8 steps. Full: even steps, shifted by the number of video tokens, stretched to its end.

        Raises:
            ValueError: the schedule has no grid of that many steps.
        """
        if self.config.schedule == "distilled":
            if steps != len(DISTILLED) - 1:
                raise ValueError(
                    f"the distilled LTX-2 has a grid of {len(DISTILLED) - 1} steps, not of {steps}: set train.sampler_steps "
                    "and evaluate.steps to it, or models.ltx2.schedule to full"
                )
            return torch.tensor(DISTILLED, dtype=torch.float64)
        if steps < 2:
            raise ValueError("the full LTX-2 needs 2 steps or more: the end of its schedule is not defined for one")
        return self.spaced(np.linspace(1, 1 / steps, steps), mu=self._shift())

    def _shift(self) -> float:
        """Linear in the number of tokens."""
        settings = self.scheduler.config
        low, high = settings.get("base_image_seq_len", 1024), settings.get("max_image_seq_len", 4096)
        least, most = settings.get("base_shift", 0.95), settings.get("max_shift", 2.05)
        return least + (most - least) * (self.video_tokens - low) / (high - low)


def _tokens(latent: Tensor) -> Tensor:
    """[C, F, h, w] as [F h w, C]."""
    return latent.permute(1, 2, 3, 0).flatten(0, 2).contiguous()


def _rescaled(guided: Tensor, unguided: Tensor, amount: float) -> Tensor:
    """`guided` with its deviation brought back to that of `unguided` by `amount` (arXiv:2305.08891, eq. 15 and 16)."""
    if not amount:
        return guided
    ratio = unguided.flatten(1).std(1) / guided.flatten(1).std(1)
    return amount * guided * ratio.view(-1, 1, 1) + (1 - amount) * guided


def _own(condition: Condition) -> Ltx2Condition:
    if not isinstance(condition, Ltx2Condition):
        raise ValueError(f"LTX-2 needs a condition of its own `encode`, not a {type(condition).__name__}")
    return condition
