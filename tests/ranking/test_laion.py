"""The LAION predictor with random weights of the real classes, written to disk and loaded like published ones."""

import json
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from tests.frames.pictures import scene
from wmsd_core.ranking import RankConfig, load_scorer
from wmsd_core.ranking.laion import LaionAesthetic, LaionScorer, load_head

WIDTH = 24


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny CLIP, known to open_clip as "tiny", and its weights."""
    folder = tmp_path_factory.mktemp("clip")
    vision = {"image_size": 32, "layers": 1, "width": 32, "patch_size": 16, "head_width": 16}
    text = {"context_length": 8, "vocab_size": 32, "width": 16, "heads": 2, "layers": 1}
    config = {"embed_dim": WIDTH, "quick_gelu": True, "vision_cfg": vision, "text_cfg": text}
    (folder / "tiny.json").write_text(json.dumps(config))
    open_clip.add_model_config(folder / "tiny.json")
    torch.manual_seed(0)
    save_file(open_clip.create_model("tiny").state_dict(), folder / "clip.safetensors")
    return folder / "clip.safetensors"


def mlp(width: int) -> nn.Module:
    """The head of version 2, as published: no activations, dropout between its layers."""
    model = nn.Module()
    model.layers = nn.Sequential(
        nn.Linear(width, 1024), nn.Dropout(0.2), nn.Linear(1024, 128), nn.Dropout(0.2), nn.Linear(128, 64),
        nn.Dropout(0.1), nn.Linear(64, 16), nn.Linear(16, 1),
    )  # fmt: skip
    return model.eval()


def test_both_versions_of_the_head_are_the_map_that_torch_computes(tmp_path: Path) -> None:
    torch.manual_seed(1)
    inputs = torch.randn(5, 768)
    linear, deep = nn.Linear(768, 1), mlp(768)
    for head, expected in ((linear, linear(inputs)), (deep, deep.layers(inputs))):
        save_file(head.state_dict(), tmp_path / "head.safetensors")
        weight, bias = load_head(tmp_path / "head.safetensors")
        torch.testing.assert_close(inputs.double() @ weight + bias, expected.double()[:, 0], rtol=1e-4, atol=1e-5)


def test_scores_are_the_head_of_the_normalised_embedding(clip: Path, tmp_path: Path) -> None:
    head = nn.Linear(WIDTH, 1)
    save_file(head.state_dict(), tmp_path / "head.safetensors")
    cfg = LaionAesthetic(clip_weights=clip, head_weights=tmp_path / "head.safetensors", clip_model="tiny")
    scorer = load_scorer(RankConfig(aesthetic=cfg))
    pictures = [scene(1), scene(2, height=80)]
    scores = scorer.score(pictures)
    # the same from open_clip's own loading, by hand
    model, _, preprocess = open_clip.create_model_and_transforms("tiny", pretrained=str(clip))
    with torch.no_grad():
        embedding = model.eval().encode_image(torch.stack([preprocess(Image.fromarray(p)) for p in pictures]))
        expected = head(embedding / embedding.norm(dim=-1, keepdim=True))[:, 0]
    assert scores == pytest.approx(expected.tolist(), rel=1e-4, abs=1e-5)
    assert np.ptp(scores) > 0
    assert scorer.name == cfg.scorer_name()


def test_the_name_follows_the_weights(clip: Path, tmp_path: Path) -> None:
    names = set()
    for index in range(2):
        save_file({"weight": torch.full((1, WIDTH), float(index)), "bias": torch.zeros(1)}, tmp_path / "h.safetensors")
        names.add(
            LaionAesthetic(clip_weights=clip, head_weights=tmp_path / "h.safetensors", clip_model="tiny").scorer_name()
        )
    assert len(names) == 2


def test_missing_files_are_refused_with_what_to_get(clip: Path, tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere.safetensors"
    with pytest.raises(ValueError, match=r"no file .*nowhere.*vit_large_patch14_clip_224\.openai"):
        LaionScorer(LaionAesthetic(clip_weights=nowhere, head_weights=nowhere))
    with pytest.raises(ValueError, match=r"no file .*nowhere.*sac\+logos\+ava1-l14-linearMSE"):
        LaionScorer(LaionAesthetic(clip_weights=clip, head_weights=nowhere))


def test_files_that_do_not_fit_are_refused(clip: Path, tmp_path: Path) -> None:
    head = tmp_path / "head.safetensors"
    save_file(nn.Linear(WIDTH + 1, 1).state_dict(), head)
    with pytest.raises(ValueError, match="embeddings of 25 numbers, tiny gives 24"):
        LaionScorer(LaionAesthetic(clip_weights=clip, head_weights=head, clip_model="tiny"))
    with pytest.raises(ValueError, match="does not hold a tiny"):
        LaionScorer(LaionAesthetic(clip_weights=head, head_weights=head, clip_model="tiny"))
    with pytest.raises(ValueError, match="knows no model 'large'"):
        LaionScorer(LaionAesthetic(clip_weights=clip, head_weights=head, clip_model="large"))
    with pytest.raises(ValueError, match="is no head"):
        load_head(clip)
    save_file(nn.Linear(WIDTH, 2).state_dict(), head)
    with pytest.raises(ValueError, match="do not fit together"):
        load_head(head)
    head.write_bytes(b"\x80\x02}q\x00.")  # a pickle
    with pytest.raises(ValueError, match="cannot be read as safetensors"):
        load_head(head)
