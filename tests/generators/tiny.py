"""Models of the real classes with random weights, small enough to run in a moment: real compression ratios, real schedules,
tokenizers trained on four sentences. Built without any download, and written to disk as their publishers do."""

import json
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import torch
from diffusers import (
    AutoencoderKLHunyuanVideo15,
    AutoencoderKLLTX2Audio,
    AutoencoderKLLTX2Video,
    FlowMatchEulerDiscreteScheduler,
    HunyuanVideo15ImageToVideoPipeline,
    HunyuanVideo15Transformer3DModel,
    LTX2ImageToVideoPipeline,
    LTX2VideoTransformer3DModel,
)
from diffusers.guiders import ClassifierFreeGuidance
from diffusers.pipelines.ltx2 import LTX2TextConnectors, LTX2Vocoder
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from torch import nn
from transformers import (
    ByT5Tokenizer,
    Gemma3Config,
    Gemma3ForConditionalGeneration,
    GemmaTokenizer,
    Qwen2_5_VLTextModel,
    Qwen2Tokenizer,
    SiglipImageProcessor,
    SiglipVisionConfig,
    SiglipVisionModel,
    T5Config,
    T5EncoderModel,
)
from transformers.models.qwen2_5_vl.configuration_qwen2_5_vl import Qwen2_5_VLTextConfig

from wmsd_core import models as models_by_name
from wmsd_core.generators import Adapter, Generator, lora
from wmsd_core.generators.settings import GeneratorConfig, Hunyuan15Config, Ltx2Config
from wmsd_core.models import ModelsConfig
from wmsd_core.sampling.ode import sample

SENTENCES = (
    "the gripper opens, moves left, and closes around the red mug",
    "walk to the door and open it; the camera stays where it is",
    "Describe the video by detailing the following aspects",
    "You are a helpful assistant. user system",
)
GEMMA = ("<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "<image_soft_token>", "<start_of_image>", "<end_of_image>")
WIDTH, LAYERS = 32, 2
"""Of the text encoder of LTX-2."""
QWEN = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
CHAT = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def image(height: int = 64, width: int = 64, seed: int = 0) -> np.ndarray:
    """A smooth coloured picture, uint8."""
    coarse = np.random.default_rng(seed).random((4, 4, 3))
    y, x = np.mgrid[0:height, 0:width]
    return (coarse[y * 4 // height, x * 4 // width] * 255).astype(np.uint8)


def _trained(tokenizer: Tokenizer, **settings: Any) -> dict[str, Any]:
    tokenizer.train_from_iterator(SENTENCES * 4, trainers.BpeTrainer(vocab_size=600, show_progress=False, **settings))
    model = json.loads(tokenizer.to_str())["model"]
    return {"vocab": model["vocab"], "merges": [tuple(merge) for merge in model["merges"]]}


def gemma_tokenizer() -> GemmaTokenizer:
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
    special = [*GEMMA, *(f"<0x{byte:02X}>" for byte in range(256))]
    return GemmaTokenizer(**_trained(tokenizer, special_tokens=special), model_max_length=1024)


def qwen_tokenizer() -> Qwen2Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    parts = _trained(tokenizer, special_tokens=list(QWEN), initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    made = Qwen2Tokenizer(**parts, model_max_length=4096, padding_side="right")
    made.add_special_tokens({"additional_special_tokens": list(QWEN[1:])})
    made.chat_template = CHAT
    return made


def build_ltx2(version: str) -> LTX2ImageToVideoPipeline:
    tokenizer, new = gemma_tokenizer(), version == "2.3"
    parts = {
        "text_encoder": _gemma(tokenizer),
        "transformer": _ltx2_transformer(new=new),
        "connectors": _ltx2_connectors(new=new),
        "vae": _ltx2_vae(),
        "audio_vae": _ltx2_sound(),
        "vocoder": _ltx2_vocoder(),
    }
    scheduler = FlowMatchEulerDiscreteScheduler(
        base_image_seq_len=1024,
        max_image_seq_len=4096,
        base_shift=0.95,
        max_shift=2.05,
        shift_terminal=0.1,
        use_dynamic_shifting=True,
    )
    return LTX2ImageToVideoPipeline(scheduler=scheduler, tokenizer=tokenizer, **parts)


def _gemma(tokenizer: GemmaTokenizer) -> Gemma3ForConditionalGeneration:
    return Gemma3ForConditionalGeneration(
        Gemma3Config(
            text_config={
                "vocab_size": len(tokenizer),
                "hidden_size": WIDTH,
                "intermediate_size": 64,
                "num_hidden_layers": LAYERS,
                "num_attention_heads": 2,
                "num_key_value_heads": 1,
                "head_dim": 16,
                "sliding_window": 64,
                "layer_types": ["sliding_attention", "full_attention"],
                "max_position_embeddings": 2048,
            },
            vision_config={
                "hidden_size": 16,
                "intermediate_size": 32,
                "num_hidden_layers": 1,
                "num_attention_heads": 2,
                "image_size": 28,
                "patch_size": 14,
            },
            mm_tokens_per_image=4,
            image_token_index=tokenizer.convert_tokens_to_ids("<image_soft_token>"),
        )
    )


def _ltx2_transformer(*, new: bool) -> LTX2VideoTransformer3DModel:
    return LTX2VideoTransformer3DModel(
        in_channels=16,
        out_channels=16,
        num_attention_heads=2,
        attention_head_dim=24,
        cross_attention_dim=48,
        audio_in_channels=16,
        audio_out_channels=16,
        audio_num_attention_heads=2,
        audio_attention_head_dim=12,
        audio_cross_attention_dim=24,
        num_layers=2,
        caption_channels=WIDTH,
        rope_type="split",
        gated_attn=new,
        cross_attn_mod=new,
        audio_gated_attn=new,
        audio_cross_attn_mod=new,
        use_prompt_embeddings=not new,
        perturbed_attn=new,
    )


def _ltx2_connectors(*, new: bool) -> LTX2TextConnectors:
    return LTX2TextConnectors(
        caption_channels=WIDTH,
        text_proj_in_factor=LAYERS + 1,
        video_connector_num_attention_heads=2,
        video_connector_attention_head_dim=24 if new else 16,
        video_connector_num_layers=1,
        video_connector_num_learnable_registers=8,
        audio_connector_num_attention_heads=2,
        audio_connector_attention_head_dim=12 if new else 16,
        audio_connector_num_layers=1,
        audio_connector_num_learnable_registers=8,
        connector_rope_base_seq_len=64,
        rope_type="split",
        per_modality_projections=new,
        video_hidden_dim=48,
        audio_hidden_dim=24,
        proj_bias=new,
        video_gated_attn=new,
        audio_gated_attn=new,
    )


def _ltx2_vae() -> AutoencoderKLLTX2Video:
    vae = AutoencoderKLLTX2Video(
        latent_channels=16,
        block_out_channels=(8, 16, 32, 64),
        decoder_block_out_channels=(8, 16, 32),
        layers_per_block=(1, 1, 1, 1, 1),
        decoder_layers_per_block=(1, 1, 1, 1),
        decoder_causal=False,
        spatial_compression_ratio=32,
        temporal_compression_ratio=8,
    )
    vae.latents_mean.copy_(torch.randn(16) / 4)
    vae.latents_std.copy_(torch.rand(16) + 0.5)
    return vae


def _ltx2_sound() -> AutoencoderKLLTX2Audio:
    # The published 3.0 have as many channels of sound as 2 x 32 / 4.
    return AutoencoderKLLTX2Audio(
        base_channels=16, ch_mult=(1, 2, 4), num_res_blocks=1, resolution=32, latent_channels=2, mel_bins=32
    )


def _ltx2_vocoder() -> LTX2Vocoder:
    return LTX2Vocoder(
        in_channels=2 * 32,
        hidden_channels=32,
        upsample_kernel_sizes=[4, 4],
        upsample_factors=[2, 2],
        resnet_kernel_sizes=[3],
        resnet_dilations=[[1, 3, 5]],
        output_sampling_rate=16000,
    )


def build_hunyuan15(*, meanflow: bool = False) -> HunyuanVideo15ImageToVideoPipeline:
    tokenizer = qwen_tokenizer()
    return HunyuanVideo15ImageToVideoPipeline(
        text_encoder=Qwen2_5_VLTextModel(
            Qwen2_5_VLTextConfig(
                vocab_size=len(tokenizer),
                hidden_size=32,
                intermediate_size=64,
                num_hidden_layers=3,
                num_attention_heads=2,
                num_key_value_heads=1,
                max_position_embeddings=4096,
                rope_parameters={"rope_type": "default", "rope_theta": 1e6, "mrope_section": [2, 3, 3]},
            )
        ),
        tokenizer=tokenizer,
        transformer=HunyuanVideo15Transformer3DModel(
            in_channels=2 * 8 + 1,
            out_channels=8,
            num_attention_heads=2,
            attention_head_dim=16,
            num_layers=2,
            num_refiner_layers=1,
            mlp_ratio=2.0,
            text_embed_dim=32,
            text_embed_2_dim=32,
            image_embed_dim=24,
            rope_axes_dim=(4, 6, 6),
            target_size=64,
            use_meanflow=meanflow,
        ),
        vae=AutoencoderKLHunyuanVideo15(
            latent_channels=8,
            block_out_channels=(16, 16, 32, 32, 32),
            layers_per_block=1,
            spatial_compression_ratio=16,
            temporal_compression_ratio=4,
        ),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=7.0 if meanflow else 5.0),
        text_encoder_2=T5EncoderModel(
            T5Config(
                vocab_size=384, d_model=32, d_kv=8, d_ff=64, num_layers=1, num_heads=2, feed_forward_proj="gated-gelu"
            )
        ),
        tokenizer_2=ByT5Tokenizer(),
        guider=ClassifierFreeGuidance(guidance_scale=1.0 if meanflow else 6.0),
        image_encoder=SiglipVisionModel(
            SiglipVisionConfig(
                hidden_size=24,
                intermediate_size=48,
                num_hidden_layers=1,
                num_attention_heads=2,
                image_size=28,
                patch_size=14,
            )
        ),
        feature_extractor=SiglipImageProcessor(size={"height": 28, "width": 28}),
    )


@cache
def folder(name: str) -> Path:
    """Where a tiny model lies: ltx2-2.0, ltx2-2.3, hunyuan15 or hunyuan15-meanflow. Built once per session."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = (
            build_ltx2(name.removeprefix("ltx2-")) if "ltx2" in name else build_hunyuan15(meanflow="meanflow" in name)
        )
    path = Path(mkdtemp(prefix="wmsd-tiny-")) / name
    made.save_pretrained(path, safe_serialization=True)
    return path


def pipeline(name: str) -> Any:
    """The pipeline of diffusers on the tiny model, as anybody would load it."""
    cls = LTX2ImageToVideoPipeline if "ltx2" in name else HunyuanVideo15ImageToVideoPipeline
    loaded = cls.from_pretrained(folder(name), local_files_only=True)
    loaded.set_progress_bar_config(disable=True)
    return loaded


def named(name: str, **changes: Any) -> ModelsConfig:
    """The tiny generator of this name, as one chooses it."""
    kind = name.partition("-")[0]
    return ModelsConfig.model_validate({"generator": kind, kind: settings(name, **changes)})


def settings(name: str, **changes: Any) -> GeneratorConfig:
    """Settings of a tiny model in float32: 9 frames of 64 x 64 pixels."""
    small = {
        "weights": str(folder(name)),
        "width": 64,
        "height": 64,
        "frames": 9,
        "device": "cpu",
        "dtype": "float32",
        "tiled_decode": False,
    }
    return (Ltx2Config if "ltx2" in name else Hunyuan15Config).model_validate(small | changes)


def generator(name: str, features: Path | None = None, **changes: Any) -> Any:
    return models_by_name.generator(named(name, **changes), features)


@torch.no_grad()
def draw(
    made: Generator,
    steps: int,
    *,
    adapter: Adapter | None = None,
    seed: int = 3,
    text: str = SENTENCES[0],
    given: np.ndarray | None = None,
) -> torch.Tensor:
    """x_0 of one video."""
    condition = made.encode((image() if given is None else given)[None], [text])
    mask = made.active_mask(condition)
    noise = made.noise(condition, [seed])
    return sample(lambda x, sigma: made.velocity(x, sigma, condition, adapter), noise, made.grid(steps), mask)


@torch.no_grad()
def pixels(made: Any, x_0: torch.Tensor) -> np.ndarray:
    """Floats [T, H, W, 3] in [0, 1], as pipelines of diffusers return."""
    return (made._decode(x_0[0]) / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1).numpy()


def shake(network: nn.Module, name: str) -> None:
    """Gives an adapter weights that do something."""
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in lora.parameters(network, name):
            weight.add_(torch.randn(weight.shape, generator=random) / 4)
