"""PickScore on a CLIP of random weights, written to disk and read from there."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tokenizers.pre_tokenizers import ByteLevel
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor, CLIPTokenizer

from wmsd_core.rewards.pickscore import FRAMES, PickScore, expect, frame_indices


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_clip(tmp_path_factory.mktemp("clip"))


def random_clip(path: Path) -> Path:
    """Model and processor of the real classes, small."""
    alphabet = sorted(ByteLevel.alphabet())
    words = {c: i for i, c in enumerate(alphabet + [c + "</w>" for c in alphabet])}
    start, end = len(words), len(words) + 1
    words |= {"<|startoftext|>": start, "<|endoftext|>": end}
    tokenizer = CLIPTokenizer(vocab=words, merges=[], model_max_length=77)
    size = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    text = {"vocab_size": len(words), "bos_token_id": start, "eos_token_id": end, "pad_token_id": end}
    config = CLIPConfig(
        text_config=size | text | {"projection_dim": 24},
        vision_config=size | {"image_size": 32, "patch_size": 8, "projection_dim": 24},
        projection_dim=24,
    )
    pictures = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    with torch.random.fork_rng():
        torch.manual_seed(0)
        CLIPModel(config).save_pretrained(path)
    CLIPProcessor(image_processor=pictures, tokenizer=tokenizer).save_pretrained(path)
    return path


def videos(count: int, frames: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (count, frames, 40, 56, 3), dtype=np.uint8)


def test_the_score_is_the_mean_over_frames_of_the_models_own_logits(folder: Path) -> None:
    scorer, shown, texts = PickScore(str(folder), str(folder)), videos(2, 3), ["go to the door", "sit"]
    scores = scorer.score(texts, shown)
    processor = CLIPProcessor.from_pretrained(folder)
    model = CLIPModel.from_pretrained(folder).eval()
    for b, text in enumerate(texts):
        pictures = [Image.fromarray(frame) for frame in shown[b]]
        inputs = processor(text=[text], images=pictures, return_tensors="pt", padding=True)
        with torch.no_grad():
            s = model(**inputs).logits_per_text[0].double() / 26  # the published constant
        torch.testing.assert_close(scores.video[b], s.mean(), rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(scores.first[b], s[0], rtol=1e-5, atol=1e-6)
        assert s.std() > 1e-4, "frames that score alike would hide a mix-up"


def test_texts_of_different_length_do_not_disturb_one_another_and_long_ones_are_cut(folder: Path) -> None:
    scorer, shown = PickScore(str(folder), str(folder)), videos(2, 2)
    both = scorer.score(["a", "a long text " * 40], shown).video
    for b, text in enumerate(["a", "a long text " * 40]):
        torch.testing.assert_close(scorer.score([text], shown[b : b + 1]).video[0], both[b], rtol=1e-5, atol=1e-6)


def test_a_long_video_is_scored_at_a_fixed_number_of_frames_with_both_ends() -> None:
    kept = frame_indices(121)
    assert len(kept) == FRAMES and kept[0] == 0 and kept[-1] == 120
    assert max(np.diff(kept)) == min(np.diff(kept)) == 8
    assert frame_indices(1) == [0] and frame_indices(5) == [0, 1, 2, 3, 4]


def test_a_model_that_is_not_there_is_named_with_the_cure(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"models\.pickscore"):
        PickScore(str(tmp_path / "none"), str(tmp_path / "none"))


def test_a_scorer_is_named_frozen_and_knows_its_size(folder: Path) -> None:
    scorer = PickScore(str(folder), str(folder))
    weights = list(scorer._model.parameters())
    assert scorer.name.startswith(f"pickscore/{folder.name}@") and not any(weight.requires_grad for weight in weights)
    assert scorer.bytes == sum(4 * weight.numel() for weight in weights)


def test_other_weights_in_the_same_place_are_another_scorer(folder: Path, tmp_path: Path) -> None:
    place = shutil.copytree(folder, tmp_path / folder.name)
    before = PickScore(str(place), str(place)).name
    assert before == PickScore(str(folder), str(folder)).name  # the same content elsewhere is the same
    model = CLIPModel.from_pretrained(place)
    with torch.no_grad():
        model.logit_scale += 1
    model.save_pretrained(place)
    assert PickScore(str(place), str(place)).name != before


@pytest.mark.parametrize("wanted", [PickScore, expect])
def test_the_cure_for_a_missing_model_names_settings_as_they_are_written(tmp_path: Path, wanted: Callable[..., object]):
    told = r"cannot be loaded \((?!None).*models\.pickscore_processor, or do without: "
    with pytest.raises(ValueError, match=told + r"train\.rewards\.pickscore=0, evaluate\.pickscore=false$"):
        wanted(str(tmp_path / "no"), str(tmp_path / "no"))


def test_a_model_that_is_there_is_expected_without_its_weights(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CLIPModel, "from_pretrained", None)
    expect(str(folder), str(folder))
