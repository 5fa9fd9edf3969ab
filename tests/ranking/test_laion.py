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

from tests.frames.pictures import LENIENT, SMALL, left, registered, rejections
from wmsd_core.filters import decide, measure_frames
from wmsd_core.ranking import RankConfig, keep_top, score_frames
from wmsd_core.ranking.clip import ClipConfig
from wmsd_core.ranking.laion import LaionAesthetic, LaionHead, load_head
from wmsd_core.store import query, reading

WIDTH = 24


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> ClipConfig:
    """A tiny CLIP, known to open_clip as "tiny", and its weights."""
    folder = tmp_path_factory.mktemp("clip")
    vision = {"image_size": 32, "layers": 1, "width": 32, "patch_size": 16, "head_width": 16}
    text = {"context_length": 8, "vocab_size": 32, "width": 16, "heads": 2, "layers": 1}
    config = {"embed_dim": WIDTH, "quick_gelu": True, "vision_cfg": vision, "text_cfg": text}
    (folder / "tiny.json").write_text(json.dumps(config))
    open_clip.add_model_config(folder / "tiny.json")
    torch.manual_seed(0)
    save_file(open_clip.create_model("tiny").state_dict(), folder / "clip.safetensors")
    return ClipConfig(weights=str(folder / "clip.safetensors"), model="tiny")


def mlp(width: int) -> nn.Module:
    """The head of version 2, as published: no activations, dropout between its layers."""
    model = nn.Module()
    model.layers = nn.Sequential(
        nn.Linear(width, 1024), nn.Dropout(0.2), nn.Linear(1024, 128), nn.Dropout(0.2), nn.Linear(128, 64),
        nn.Dropout(0.1), nn.Linear(64, 16), nn.Linear(16, 1),
    )  # fmt: skip
    return model.eval()


def predictor(clip: ClipConfig, tmp_path: Path, head: nn.Module) -> LaionAesthetic:
    save_file(head.state_dict(), tmp_path / "head.safetensors")
    return LaionAesthetic(head=str(tmp_path / "head.safetensors"), clip=clip)


def scores_of(store: Path, scorer: str) -> dict[str, float]:
    with reading(store) as con:
        rows = query(con, "SELECT frame_id, score FROM aesthetics WHERE scorer = ?", [scorer])
    return {row["frame_id"]: row["score"] for row in rows}


def by_hand(clip: ClipConfig, store: Path) -> dict[str, torch.Tensor]:
    """L2-normalised embeddings, from open_clip's own loading."""
    model, _, preprocess = open_clip.create_model_and_transforms("tiny", pretrained=clip.weights)
    with reading(store) as con:
        rows = query(con, "SELECT frame_id, path FROM frames ORDER BY frame_id")
    with torch.no_grad():
        pictures = torch.stack([preprocess(Image.open(row["path"]).convert("RGB")) for row in rows])
        embeddings = nn.functional.normalize(model.eval().encode_image(pictures), dim=-1)
    return {row["frame_id"]: vector for row, vector in zip(rows, embeddings, strict=True)}


def test_both_versions_of_the_head_are_the_map_that_torch_computes(tmp_path: Path) -> None:
    torch.manual_seed(1)
    inputs = torch.randn(5, 768)
    linear, deep = nn.Linear(768, 1), mlp(768)
    for head, expected in ((linear, linear(inputs)), (deep, deep.layers(inputs))):
        save_file(head.state_dict(), tmp_path / "head.safetensors")
        weight, bias = load_head(tmp_path / "head.safetensors")
        assert inputs.double().numpy() @ weight + bias == pytest.approx(expected[:, 0].tolist(), rel=1e-4, abs=1e-5)


def test_a_score_is_the_head_of_the_normalised_embedding_and_a_second_head_reads_no_picture(
    clip: ClipConfig, tmp_path: Path
) -> None:
    store, ids = registered(tmp_path, 40)
    embeddings = by_hand(clip, store)
    torch.manual_seed(2)
    first, second = nn.Linear(WIDTH, 1), mlp(WIDTH)
    config = predictor(clip, tmp_path, first)
    assert score_frames(store, ids, config).scored == 40
    for path in (tmp_path / "images").iterdir():
        path.unlink()
    other = predictor(clip, tmp_path, second)
    assert score_frames(store, ids, other).scored == 40
    with torch.no_grad():
        expected = {frame_id: second.layers(vector).item() for frame_id, vector in embeddings.items()}
    assert scores_of(store, other.scorer_name()) == pytest.approx(expected, rel=1e-4, abs=1e-5)
    assert np.ptp(list(expected.values())) > 1e-4
    with reading(store) as con:
        rows = query(con, "SELECT frame_id, vector FROM embeddings WHERE encoder = ?", [clip.encoder()])
    assert {row["frame_id"]: row["vector"] for row in rows} == {
        frame_id: pytest.approx(vector.tolist(), abs=1e-6) for frame_id, vector in embeddings.items()
    }


def test_the_first_heads_scores_are_right_too_and_made_once(clip: ClipConfig, tmp_path: Path) -> None:
    store, ids = registered(tmp_path, 5)
    head = nn.Linear(WIDTH, 1)
    config = predictor(clip, tmp_path, head)
    assert score_frames(store, ids[:2], config).scored == 2
    again = score_frames(store, ids, config)
    assert (again.scored, again.before) == (3, 2)
    with torch.no_grad():
        expected = {frame_id: head(vector).item() for frame_id, vector in by_hand(clip, store).items()}
    assert scores_of(store, config.scorer_name()) == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_an_unreadable_picture_has_no_embedding_and_no_score(clip: ClipConfig, tmp_path: Path) -> None:
    store, ids = registered(tmp_path, 3)
    (tmp_path / "images" / "001.png").unlink()
    config = predictor(clip, tmp_path, nn.Linear(WIDTH, 1))
    found = score_frames(store, ids, config)
    assert (found.scored, found.unusable) == (2, 1)
    assert rejections(store, "frames") == {"001.png": {"missing"}}
    assert len(scores_of(store, config.scorer_name())) == 2


def test_the_name_follows_weights_and_precision(clip: ClipConfig, tmp_path: Path) -> None:
    names = set[str]()
    for value in range(2):
        save_file(
            {"weight": torch.full((1, WIDTH), float(value)), "bias": torch.zeros(1)}, tmp_path / f"{value}.safetensors"
        )
        for precision in ("float32", "bfloat16"):
            made_for = clip.model_copy(update={"precision": precision})
            names.add(LaionAesthetic(head=str(tmp_path / f"{value}.safetensors"), clip=made_for).scorer_name())
    assert len(names) == 4


def test_half_precision_is_near(clip: ClipConfig, tmp_path: Path) -> None:
    store, ids = registered(tmp_path, 4)
    head = nn.Linear(WIDTH, 1)
    half = predictor(clip.model_copy(update={"precision": "bfloat16"}), tmp_path, head)
    score_frames(store, ids, half)
    with torch.no_grad():
        expected = {frame_id: head(vector).item() for frame_id, vector in by_hand(clip, store).items()}
    assert scores_of(store, half.scorer_name()) == pytest.approx(expected, abs=0.05)


def test_frames_too_similar_to_a_better_one_are_dropped_and_make_room(clip: ClipConfig, tmp_path: Path) -> None:
    store, ids = registered(tmp_path, 12)
    measure_frames(store, ids, SMALL)
    decide(store, SMALL, LENIENT)
    assert left(store, "filter") == ids
    aesthetic = predictor(clip, tmp_path, nn.Linear(WIDTH, 1))
    score_frames(store, ids, aesthetic)
    vectors, scores = by_hand(clip, store), scores_of(store, aesthetic.scorer_name())
    order = sorted(ids, key=lambda frame_id: -scores[frame_id])
    limit = float(np.median([vectors[a] @ vectors[b] for i, a in enumerate(ids) for b in ids[:i]]))
    kept: list[str] = []
    for frame_id in order:
        if all(vectors[frame_id] @ vectors[other] <= limit for other in kept):
            kept.append(frame_id)
    config = RankConfig(aesthetic=aesthetic, keep_fraction=1, sharpness_weight=0, max_similarity=limit)
    found = keep_top(store, SMALL, config)
    assert (found.kept, found.similar, found.dropped) == (len(kept), 12 - len(kept), 0)
    assert left(store, "rank") == sorted(kept) and 1 < len(kept) < 12
    few = keep_top(store, SMALL, config.model_copy(update={"keep_fraction": 2 / 12}))
    assert left(store, "rank") == sorted(kept[:2]) and few.dropped == len(kept) - 2
    with reading(store) as con:
        details = query(con, "SELECT item, detail FROM rejections WHERE reason = 'similar'")
    for row in details:
        other = max(kept, key=lambda k: vectors[row["item"]] @ vectors[k] if scores[k] > scores[row["item"]] else -2)
        assert other in row["detail"]


def test_similarity_without_an_encoder_is_refused() -> None:
    with pytest.raises(ValueError, match=r"set rank\.aesthetic too"):
        RankConfig(max_similarity=0.9)


def test_missing_files_are_refused_with_what_to_get(clip: ClipConfig, tmp_path: Path) -> None:
    nowhere = str(tmp_path / "nowhere.safetensors")
    with pytest.raises(ValueError, match=r"no file .*nowhere.*vit_large_patch14_clip_224\.openai"):
        LaionAesthetic(head=nowhere, clip=ClipConfig(weights=nowhere)).scorer_name()
    store, ids = registered(tmp_path, 1)
    with pytest.raises(ValueError, match=r"no file .*nowhere.*sac\+logos\+ava1-l14-linearMSE"):
        score_frames(store, ids, LaionAesthetic(head=nowhere, clip=clip))
    with reading(store) as con:
        assert query(con, "SELECT * FROM aesthetics") == []


def test_a_hub_that_is_away_is_told_and_a_cached_file_is_used(
    clip: ClipConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    there = LaionAesthetic(head="hf-hub:someone/predictor/head.safetensors", clip=clip)
    with pytest.raises(ValueError, match=r"neither from the hub nor .*hf download someone/predictor head\.safetensors"):
        there.scorer_name()
    snapshot = tmp_path / "hub" / "models--someone--predictor" / "snapshots" / ("a" * 40)
    snapshot.mkdir(parents=True)
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text("a" * 40)
    save_file(nn.Linear(WIDTH, 1).state_dict(), snapshot / "head.safetensors")
    assert there.scorer_name() == LaionAesthetic(head=str(snapshot / "head.safetensors"), clip=clip).scorer_name()
    with pytest.raises(ValueError, match="not of the form hf-hub:OWNER/REPOSITORY/FILE"):
        LaionAesthetic(head="hf-hub:someone/predictor", clip=clip).scorer_name()


def test_files_that_do_not_fit_are_refused(clip: ClipConfig, tmp_path: Path) -> None:
    store, ids = registered(tmp_path, 1)
    too_wide = predictor(clip, tmp_path, nn.Linear(WIDTH + 1, 1))
    with pytest.raises(ValueError, match="embeddings of 25 numbers, the encoder gives 24"):
        score_frames(store, ids, too_wide)
    with pytest.raises(ValueError, match="does not hold a tiny"):
        score_frames(store, ids, too_wide.model_copy(update={"clip": ClipConfig(weights=too_wide.head, model="tiny")}))
    with pytest.raises(ValueError, match="knows no model 'large'"):
        score_frames(store, ids, too_wide.model_copy(update={"clip": clip.model_copy(update={"model": "large"})}))
    head = tmp_path / "head.safetensors"
    with pytest.raises(ValueError, match="is no head"):
        load_head(Path(clip.weights))
    save_file(nn.Linear(WIDTH, 2).state_dict(), head)
    with pytest.raises(ValueError, match="do not fit together"):
        load_head(head)
    head.write_bytes(b"\x80\x02}q\x00.")  # a pickle
    with pytest.raises(ValueError, match="cannot be read as safetensors"):
        LaionHead(LaionAesthetic(head=str(head), clip=clip))
