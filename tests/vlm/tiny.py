"""A Qwen3-VL of random weights, small enough for tests, made without any download: `python -m tests.vlm.tiny FOLDER`.

Its processor, chat template and classes are the real ones. A random model spreads its belief over all tokens and never
stops to write, so one direction of its hidden state is kept constant, and `leaning` adds to the logit of single tokens
along it; with `after`, what it says next depends on the last token alone.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import (
    GenerationConfig,
    Qwen2Tokenizer,
    Qwen2VLImageProcessor,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
    Qwen3VLProcessor,
    Qwen3VLVideoProcessor,
)

SPECIAL = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
TEXTS = (
    "a robot arm picks up the red cube and places it on the blue plate",
    "Does the video show that the task is done? Answer with one word, yes or no. Yes No yes no",
    "user system assistant refused reason pairs task solution true false",
)
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n"
    "{% if m['content'] is string %}{{ m['content'] }}{% else %}{% for c in m['content'] %}"
    "{% if c['type'] in ('image', 'image_url') %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif c['type'] in ('video', 'video_url') %}<|vision_start|><|video_pad|><|vision_end|>"
    "{% else %}{{ c['text'] }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if enable_thinking is defined and enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}{% endif %}"
)
"""As Qwen's: with thinking off, the reply begins after an empty thought."""
LEANING: Mapping[str, float] = {
    **{"yes": 11.0, "no": 11.0, '"': 10.5, "]": 4.0, "{": 4.0, "}": 3.0, ":": 3.0, ",": 2.0},
    **{"Ġ": -12.0, "Ċ": -12.0, "č": -12.0, "ĉ": -12.0},
}
"""Enough for verdicts, and for written answers of a few dozen tokens."""
_BIAS = 3.0


def tokenizer() -> Qwen2Tokenizer:
    """Byte-level BPE of about 400 tokens."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=500, special_tokens=list(SPECIAL), initial_alphabet=alphabet, show_progress=False
    )
    bpe.train_from_iterator(TEXTS * 4, trainer)
    learned = json.loads(bpe.to_str())["model"]
    made = Qwen2Tokenizer(
        vocab=learned["vocab"], merges=[tuple(merge) for merge in learned["merges"]], model_max_length=4096
    )
    made.add_special_tokens({"additional_special_tokens": list(SPECIAL[1:])})
    made.chat_template = TEMPLATE
    return made


def make(
    folder: Path, *, seed: int = 0, leaning: Mapping[str, float] = LEANING, after: Mapping[str, str] | None = None
) -> Path:
    """Saves model and processor into `folder`."""
    words = tokenizer()
    number = words.convert_tokens_to_ids
    torch.manual_seed(seed)
    hidden = {"hidden_size": 64, "intermediate_size": 128}
    rope = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [12, 10, 10], "mrope_interleaved": True}
    config = Qwen3VLConfig(
        text_config={
            **hidden,
            "vocab_size": -(-len(words) // 64) * 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "head_dim": 64,
            "max_position_embeddings": 8192,
            "rope_parameters": rope,
            "bos_token_id": 0,
            "eos_token_id": number("<|im_end|>"),
        },
        vision_config={
            **hidden,
            "depth": 2,
            "num_heads": 2,
            "patch_size": 16,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
            "out_hidden_size": 64,
            "num_position_embeddings": 64,
            "deepstack_visual_indexes": [0],
        },
        image_token_id=number("<|image_pad|>"),
        video_token_id=number("<|video_pad|>"),
        vision_start_token_id=number("<|vision_start|>"),
        vision_end_token_id=number("<|vision_end|>"),
        tie_word_embeddings=False,
    )
    model = Qwen3VLForConditionalGeneration(config)
    seen, said = model.get_input_embeddings().weight, model.get_output_embeddings().weight
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(4)  # random, but not flat
        seen[:, 0] = _BIAS
        said.mul_(3)[:, 0] = 0
        for token, amount in leaning.items():
            if token in words.get_vocab():
                said[number(token), 0] = amount / 5
        for last, following in (after or {}).items():
            seen[number(last)] *= 20
            said[number(following)] = 20 * seen[number(last)] / seen[number(last)].norm()
    sizes = {"patch_size": 16, "merge_size": 2, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    processor = Qwen3VLProcessor(
        image_processor=Qwen2VLImageProcessor(**sizes, size={"shortest_edge": 32**2, "longest_edge": 256**2}),
        tokenizer=words,
        video_processor=Qwen3VLVideoProcessor(
            **sizes,
            temporal_patch_size=2,
            size={"shortest_edge": 32**2, "longest_edge": 8 * 256**2},
            do_sample_frames=False,
        ),
        chat_template=TEMPLATE,
    )
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    GenerationConfig(eos_token_id=number("<|im_end|>"), pad_token_id=0).save_pretrained(folder)
    return folder


if __name__ == "__main__":
    make(Path(sys.argv[1]))
