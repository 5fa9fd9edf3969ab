"""The miniature's LTX-2: real classes taught by the real adapter, and read by plain diffusers."""

from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import LTX2ImageToVideoPipeline
from PIL import Image
from safetensors.torch import load_file

from tests.generators.test_ltx2 import OFF
from tests.miniature.boards import solved, tasks_of
from wmsd_core.generators.ltx2 import Ltx2Generator
from wmsd_core.miniature import autoencoder, ltx2, taught_ltx2, verifier
from wmsd_core.miniature.drawing import draw, to_uint8
from wmsd_core.miniature.ltx2_settings import FRAMES, SIDE, TEXT_LENGTH, adapter
from wmsd_core.miniature.motion import film
from wmsd_core.miniature.muon import Muon, orthogonal
from wmsd_core.miniature.pretrain import captioned
from wmsd_core.miniature.pretrain_ltx2 import PretrainLtx2Config, Pupil, examine, make
from wmsd_core.sampling.ode import sample

SMALL = PretrainLtx2Config(
    samples=32, batch=8, save_every=2, size=ltx2.SizeConfig(heads=2, layers=1), clips=200, adam_rate=1e-3
)
SOLUTION = "The red circle moves to the column of the blue square, then to the top edge."


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pipeline after four steps."""
    path = tmp_path_factory.mktemp("ltx2") / "pipeline"
    list(make(path, SMALL))
    return path


@pytest.fixture(scope="module")
def components() -> autoencoder.Components:
    return autoencoder.principal(captioned(np.random.default_rng(0), 800, SMALL.captions, FRAMES)[0])


def as_pixels(videos: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(videos).permute(0, 4, 1, 2, 3).float() / 127.5 - 1


@torch.no_grad()
def test_the_autoencoder_takes_what_its_components_are_and_gives_clips_back(components: autoencoder.Components) -> None:
    scenes, plans, mover, route, _ = solved(6, seed=3)
    videos = autoencoder.enlarge(film(scenes, mover, route, FRAMES))
    vae = autoencoder.build(components)
    latent = vae.encode(as_pixels(videos)).latent_dist.mode()
    mean, std = (part.view(1, -1, 1, 1, 1) for part in (vae.latents_mean, vae.latents_std))
    tokens = ((latent - mean) / std).permute(0, 2, 3, 4, 1).flatten(1, 3)
    expected = components.encode(videos[:, :, ::8, ::8].astype(np.float32) / 255)
    assert (tokens - expected).abs().max() < 0.02
    # Where a cell is: the second column of the third row has a column before it, and no second.
    assert tokens[0, 25 + 11, 120:].round().int().tolist() == [1, -1, 1, 1, 1, 1, 1, 1]

    back = vae.decode(latent).sample.permute(0, 2, 3, 4, 1)
    pixels = ((back + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).numpy()
    scores = verifier.assess(verifier.track(pixels), tasks_of(plans))
    assert (scores.task > 0).all() and (scores.agent > 0).all() and (scores.consistency > 0).all()


def test_every_word_of_the_texts_is_one_token_and_no_text_is_cut() -> None:
    words = ltx2.tokenizer()
    _, texts = captioned(np.random.default_rng(1), 1000, SMALL.captions)
    ids = [words(text).input_ids for text in set(texts) if text]
    assert max(map(len, ids)) == 21 < TEXT_LENGTH
    assert words.unk_token_id not in {i for text in ids for i in text}
    assert words.tokenize("The red circle moves to column 4.") == [
        "The", "▁red", "▁circle", "▁moves", "▁to", "▁column", "▁4", "."
    ]  # fmt: skip


@torch.no_grad()
def test_plain_diffusers_draws_the_same_with_sound_as_the_adapter_without(folder: Path) -> None:
    scenes, *_ = solved(1)
    image = autoencoder.enlarge(draw(scenes))[0]
    ours = Ltx2Generator(adapter(str(folder)))
    condition = ours.encode(image[None], [SOLUTION])
    x_0 = sample(
        lambda x, sigma: ours.velocity(x, sigma, condition, None),
        ours.noise(condition, [3]), ours.grid(4), ours.active_mask(condition),
    )  # fmt: skip
    theirs = LTX2ImageToVideoPipeline.from_pretrained(folder, local_files_only=True)
    video = theirs(
        image=Image.fromarray(image), prompt=SOLUTION, height=SIDE, width=SIDE, num_frames=FRAMES, num_inference_steps=4,
        max_sequence_length=TEXT_LENGTH, generator=torch.Generator().manual_seed(3), output_type="np", return_dict=False,
        image_crf=0,
        **OFF,
    )[0][0]  # fmt: skip
    drawn = ours.decode(x_0)[0]
    assert np.abs(drawn - np.round(video * 255)).max() <= 1
    assert drawn[1:].std() > 20


def test_stopped_pretraining_goes_on_as_if_it_had_not_been(folder: Path, tmp_path: Path) -> None:
    first = make(tmp_path, SMALL)
    for _ in range(3):
        next(first)
    first.close()
    with pytest.raises(ValueError, match="of other settings"):
        next(make(tmp_path, SMALL.model_copy(update={"adam_rate": 2e-3})))
    assert [step.samples for step in make(tmp_path, SMALL)] == [24, 32]
    for part in ("transformer", "connectors"):
        name = f"{part}/diffusion_pytorch_model.safetensors"
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()
    assert not (tmp_path / "pretraining.pt").exists()


def test_connectors_and_network_learn_and_sound_keeps_its_gates_closed(folder: Path) -> None:
    pupil = Pupil(folder, SMALL)
    before = {name: weight.detach().clone() for name, weight in pupil.trained.items()}
    assert pupil.learn() > 0
    # What modulates the exchange with sound gets no gradient where sound is off.
    moved = [name for name, weight in pupil.trained.items() if not torch.equal(weight, before[name])]
    assert len(moved) > 0.85 * len(before) and {name.split(".")[0] for name in moved} == {"transformer", "connectors"}
    network = pupil.network
    assert not network.av_cross_attn_video_a2v_gate.linear.weight.any()
    assert not network.transformer_blocks[0].video_a2v_cross_attn_scale_shift_table[4].any()


def test_the_exam_is_sat_at_the_size_of_the_pipeline(folder: Path) -> None:
    scores = examine(folder, 1, seed=0)
    assert set(scores) == {f"{t}, {n} steps" for t in ("clean", "planner", "short") for n in (4, 8)}
    assert all(0 <= share <= 1 for shares in scores.values() for share in shares.values())


def test_what_was_taught_goes_into_one_file_and_comes_out_to_the_bit(folder: Path, tmp_path: Path) -> None:
    taught_ltx2.pack(folder, SMALL, tmp_path / "taught.safetensors")
    assert taught_ltx2.unpack(tmp_path / "again", tmp_path / "taught.safetensors") == taught_ltx2.Taught(SMALL, 32)
    files = [path.relative_to(folder) for path in folder.rglob("*.safetensors")]
    assert len(files) >= 6
    for name in files:
        assert load_file(folder / name).keys() == load_file(tmp_path / "again" / name).keys()
        for key, value in load_file(folder / name).items():
            assert torch.equal(value, load_file(tmp_path / "again" / name)[key]), (name, key)
    with pytest.raises(ValueError, match="holds something already"):
        taught_ltx2.unpack(tmp_path / "again", tmp_path / "taught.safetensors")


def test_the_pipeline_that_is_shipped_follows_detailed_solutions_and_no_short_tasks(tmp_path: Path) -> None:
    taught_ltx2.unpack(tmp_path / "pipeline")
    scores = examine(tmp_path / "pipeline", 24, seed=1, steps=(4,), tellings=("clean", "short"))
    told, short = scores["clean, 4 steps"], scores["short, 4 steps"]
    assert told["task"] > 0.8 and told["agent"] > 0.8 and told["consistency"] > 0.3
    assert short["task"] < 0.4 and short["consistency"] < 0.3


def test_muon_steps_along_the_nearest_matrix_with_equal_singular_values() -> None:
    random = torch.Generator().manual_seed(0)
    matrix = torch.randn(1, 24, 8, generator=random)
    u, values, v = torch.linalg.svd(orthogonal(matrix)[0], full_matrices=False)
    assert values.min() > 0.6 and values.max() < 1.3
    mine, _, others = torch.linalg.svd(matrix[0], full_matrices=False)
    assert torch.trace((u @ v).T @ (mine @ others)) > 7.99

    weight = torch.nn.Parameter(torch.zeros(24, 8))
    weight.grad = matrix[0]
    Muon([weight], lr=0.1).step()
    # Nesterov's momentum scales the first gradient, which changes no direction; rows / columns is 3.
    assert torch.allclose(weight.detach(), -0.1 * 3**0.5 * orthogonal(matrix)[0], atol=1e-5)


def test_drawn_frames_are_enlarged_without_loss() -> None:
    scenes, *_ = solved(2)
    videos = autoencoder.enlarge(draw(scenes)[:, None])
    assert videos.shape == (2, 1, SIDE, SIDE, 3)
    assert np.array_equal(videos[:, 0, ::8, ::8], to_uint8(draw(scenes)))
