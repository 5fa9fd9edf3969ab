"""LTX-2 at the size of the miniature: every part of the real class, in the layout that diffusers reads.

transformer    LTX-2.0's, four blocks of width 128; its gates from sound to picture are closed, so that pictures come
               out alike with sound and without it
connectors     two layers of width 64 between the text encoder and the network
text_encoder   Gemma 3 of one layer with random weights: what it tells of a word is fixed, the connectors learn to read it
tokenizer      Gemma's, knowing the words of the miniature's texts
vae            `autoencoder`
audio_vae, vocoder   weights of zero: silence
scheduler      even steps with the miniature's noise shift
"""

import json
from itertools import product
from typing import Any

import numpy as np
import torch
from diffusers.models.autoencoders.autoencoder_kl_ltx2_audio import AutoencoderKLLTX2Audio
from diffusers.models.transformers.transformer_ltx2 import LTX2VideoTransformer3DModel
from diffusers.pipelines.ltx2.connectors import LTX2TextConnectors
from diffusers.pipelines.ltx2.pipeline_ltx2_image2video import LTX2ImageToVideoPipeline
from diffusers.pipelines.ltx2.vocoder import LTX2Vocoder
from diffusers.schedulers.scheduling_flow_match_euler_discrete import FlowMatchEulerDiscreteScheduler
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from torch import nn
from transformers import Gemma3Config, Gemma3ForConditionalGeneration, GemmaTokenizer

from wmsd_core.config import Config
from wmsd_core.miniature import autoencoder, language
from wmsd_core.miniature.ltx2_settings import SIDE, TEXT_LENGTH
from wmsd_core.miniature.network import SHIFT
from wmsd_core.miniature.scene import COLOURS, KINDS
from wmsd_core.seeds import derive

_SPECIAL = ("<pad>", "<eos>", "<bos>", "<unk>", "<image_soft_token>")
_WORD = 64
"""Width of the text encoder and of the connectors."""
_SOUND = 32
"""Width of the branch of sound."""
_BINS = 32
"""Bands of its spectrogram."""


class SizeConfig(Config):
    """Size of the transformer."""

    heads: int = 4
    """Attention heads, each of 32 features."""
    layers: int = 4
    """Blocks."""


def build(seed: int, size: SizeConfig, components: autoencoder.Components) -> LTX2ImageToVideoPipeline:
    """The pipeline with random weights in transformer, connectors and text encoder; the same seed gives the same weights."""
    words = tokenizer()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(seed, "miniature ltx2"))
        encoder, connectors, network = _text_encoder(words), _connectors(), _transformer(size)
        sound, vocoder = _silence()
    return LTX2ImageToVideoPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(
            use_dynamic_shifting=True, base_shift=float(np.log(SHIFT)), max_shift=float(np.log(SHIFT))
        ),
        vae=autoencoder.build(components),
        audio_vae=sound,
        text_encoder=encoder,
        tokenizer=words,
        connectors=connectors,
        transformer=network,
        vocoder=vocoder,
    )


def tokenizer() -> GemmaTokenizer:
    """Gemma's kind, with a token for each word and mark of the miniature's texts."""
    made = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=False))
    made.normalizer = normalizers.Replace(" ", "▁")
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split("▁", "merged_with_next"), pre_tokenizers.Punctuation()]
    )
    made.train_from_iterator(
        _texts(), trainers.BpeTrainer(vocab_size=600, special_tokens=list(_SPECIAL), show_progress=False)
    )
    model = json.loads(made.to_str())["model"]
    merges: Any = [tuple(merge) for merge in model["merges"]]
    return GemmaTokenizer(vocab=model["vocab"], merges=merges, model_max_length=TEXT_LENGTH, padding_side="left")


def _texts() -> list[str]:
    """Every word in every place that texts have it in."""
    things = [f"{colour} {kind}" for colour, kind in product(COLOURS, KINDS)]
    goals = [*(f"{colour} square" for colour in COLOURS), *(f"{edge} edge" for edge in language.EDGES)]
    ends = [f"{axis} {n + 1}" for axis in language.AXES for n in range(5)]
    ends += [f"the {axis} of the {colour} square" for axis in language.AXES for colour in COLOURS]
    ends += [f"the {edge} edge" for edge in language.EDGES]
    legs = [language.solution(thing, (end,)) for thing, end in product(things, ends)]
    both = [language.solution(things[0], (end, end)) for end in ends]
    tasks = [str(language.Task(thing, goal)) for thing, goal in product(things, goals)]
    return [*legs, *both, *tasks, *map(language.vague, things)]


def _text_encoder(words: GemmaTokenizer) -> Gemma3ForConditionalGeneration:
    return Gemma3ForConditionalGeneration(
        Gemma3Config(
            text_config={
                "vocab_size": len(words),
                "hidden_size": _WORD,
                "intermediate_size": 2 * _WORD,
                "num_hidden_layers": 1,
                "num_attention_heads": 4,
                "num_key_value_heads": 4,
                "head_dim": _WORD // 4,
                "layer_types": ["full_attention"],
                "max_position_embeddings": TEXT_LENGTH,
                "pad_token_id": 0,
                "eos_token_id": 1,
                "bos_token_id": 2,
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
            image_token_index=_SPECIAL.index("<image_soft_token>"),
        )
    )


def _connectors() -> LTX2TextConnectors:
    return LTX2TextConnectors(
        caption_channels=_WORD,
        text_proj_in_factor=2,
        video_connector_num_attention_heads=4,
        video_connector_attention_head_dim=_WORD // 4,
        video_connector_num_layers=2,
        video_connector_num_learnable_registers=8,
        audio_connector_num_attention_heads=4,
        audio_connector_attention_head_dim=_WORD // 4,
        audio_connector_num_layers=1,
        audio_connector_num_learnable_registers=8,
        connector_rope_base_seq_len=TEXT_LENGTH,
        rope_type="split",
    )


def _transformer(size: SizeConfig) -> LTX2VideoTransformer3DModel:
    width = 32 * size.heads
    network = LTX2VideoTransformer3DModel(
        in_channels=autoencoder.CHANNELS,
        out_channels=autoencoder.CHANNELS,
        num_attention_heads=size.heads,
        attention_head_dim=32,
        cross_attention_dim=width,
        base_height=SIDE,
        base_width=SIDE,
        pos_embed_max_pos=1,
        audio_in_channels=_BINS // 2,
        audio_out_channels=_BINS // 2,
        audio_num_attention_heads=size.heads,
        audio_attention_head_dim=_SOUND // size.heads,
        audio_cross_attention_dim=_SOUND,
        num_layers=size.layers,
        caption_channels=_WORD,
        rope_type="split",
        rope_theta=10.0,
    )
    gate: Any = network.av_cross_attn_video_a2v_gate.linear
    nn.init.zeros_(gate.weight)
    nn.init.zeros_(gate.bias)
    for block in network.transformer_blocks:
        block.video_a2v_cross_attn_scale_shift_table.data[4] = 0  # pyright: ignore[reportArgumentType, reportIndexIssue]
    nn.init.zeros_(network.proj_out.weight)
    return network


def _silence() -> tuple[AutoencoderKLLTX2Audio, LTX2Vocoder]:
    """Two channels of a quarter as many bins: 16 numbers, for which the autoencoder must be 16 wide."""
    sound = AutoencoderKLLTX2Audio(
        base_channels=_BINS // 2,
        ch_mult=(1, 2, 4),
        num_res_blocks=1,
        resolution=_BINS,
        latent_channels=2,
        mel_bins=_BINS,
    )
    vocoder = LTX2Vocoder(
        in_channels=2 * _BINS,
        hidden_channels=16,
        upsample_kernel_sizes=[4, 4],
        upsample_factors=[2, 2],
        resnet_kernel_sizes=[3],
        resnet_dilations=[[1, 3, 5]],
        output_sampling_rate=16000,
    )
    for weight in (*sound.parameters(), *vocoder.parameters()):
        nn.init.zeros_(weight)
    return sound, vocoder
