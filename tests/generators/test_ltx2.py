"""LTX-2 on random weights of the real classes, against diffusers' own pipeline on the same weights and noise."""

import json
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from diffusers.pipelines.ltx2.pipeline_ltx2_image2video import calculate_shift
from diffusers.pipelines.ltx2.utils import DISTILLED_SIGMA_VALUES
from PIL import Image

from tests.generators import tiny
from wmsd_core.generators import lora
from wmsd_core.generators.ltx2 import Ltx2Condition, Ltx2Generator

VERSIONS = ("ltx2-2.0", "ltx2-2.3")
NEGATIVE = "worst quality, inconsistent motion, blurry, jittery, distorted"
OFF: dict[str, Any] = {
    "guidance_scale": 1.0,
    "stg_scale": 0.0,
    "modality_scale": 1.0,
    "guidance_rescale": 0.0,
    "audio_guidance_scale": 1.0,
    "audio_stg_scale": 0.0,
    "audio_modality_scale": 1.0,
    "audio_guidance_rescale": 0.0,
    "spatio_temporal_guidance_blocks": None,
}
UNGUIDED: dict[str, Any] = {
    "text": 1,
    "perturbation": 0,
    "modality": 1,
    "rescale": 0,
    "audio_text": 1,
    "audio_perturbation": 0,
    "audio_modality": 1,
    "audio_rescale": 0,
}


@cache
def loaded(name: str) -> Any:
    return tiny.pipeline(name)


def theirs(
    name: str, steps: int, image: np.ndarray | None = None, *, frames: int = 9, resized: bool = True, **settings: Any
) -> np.ndarray:
    given = Image.fromarray(tiny.image() if image is None else image)
    return loaded(name)(
        image=given,
        prompt=tiny.SENTENCES[0],
        negative_prompt=NEGATIVE,
        height=64 if resized else given.height,
        width=64 if resized else given.width,
        num_frames=frames,
        num_inference_steps=steps,
        generator=torch.Generator().manual_seed(3),
        use_cross_timestep=name == "ltx2-2.3",
        output_type="np",
        return_dict=False,
        **settings,
    )[0][0]


@pytest.mark.parametrize("name", VERSIONS)
def test_the_full_schedule_without_guidance_draws_what_diffusers_draws(name: str) -> None:
    ours = tiny.generator(name, schedule="full", guidance=UNGUIDED)
    x_0 = tiny.draw(ours, 4)
    expected = theirs(name, 4, **OFF)
    assert np.abs(tiny.pixels(ours, x_0) - expected).max() < 1e-5
    assert np.abs(ours.decode(x_0)[0] - np.round(expected * 255)).max() <= 1
    assert expected.std() > 0.05


@pytest.mark.parametrize("name", VERSIONS)
def test_the_full_schedule_with_the_published_guidance_draws_what_diffusers_draws(name: str) -> None:
    ours = tiny.generator(name, schedule="full", guidance={"blocks": (1,)})
    expected = theirs(name, 4, spatio_temporal_guidance_blocks=[1])
    assert np.abs(tiny.pixels(ours, tiny.draw(ours, 4)) - expected).max() < 1e-5
    assert np.abs(expected - theirs(name, 4, **OFF)).max() > 0.05


@pytest.mark.parametrize("name", VERSIONS)
@pytest.mark.parametrize(("height", "width", "frames", "steps"), [(64, 96, 17, 4), (128, 64, 9, 6), (96, 160, 25, 3)])
def test_videos_of_other_sizes_and_lengths_are_those_of_diffusers_too(
    name: str, height: int, width: int, frames: int, steps: int
) -> None:
    ours = tiny.generator(name, schedule="full", guidance={"blocks": (1,)}, height=height, width=width, frames=frames)
    given = tiny.image(height, width, seed=steps)
    expected = theirs(name, steps, given, frames=frames, resized=False, spatio_temporal_guidance_blocks=[1])
    assert expected.shape == (frames, height, width, 3)
    assert np.abs(tiny.pixels(ours, tiny.draw(ours, steps, given=given)) - expected).max() < 1e-5


@pytest.mark.parametrize("name", VERSIONS)
def test_the_distilled_schedule_draws_what_diffusers_draws_without_guidance(name: str) -> None:
    ours = tiny.generator(name)
    pipeline = loaded(name)
    shifted = pipeline.scheduler
    # Left as it is, the checkpoint's scheduler would shift the published grid a second time.
    pipeline.scheduler = FlowMatchEulerDiscreteScheduler.from_config(
        shifted.config, use_dynamic_shifting=False, shift_terminal=None
    )
    expected = theirs(name, 8, sigmas=list(DISTILLED_SIGMA_VALUES), **OFF)
    pipeline.scheduler = shifted
    assert np.abs(tiny.pixels(ours, tiny.draw(ours, 8)) - expected).max() < 1e-5


def test_the_distilled_grid_is_the_published_one_and_has_no_other_length() -> None:
    ours = tiny.generator("ltx2-2.0")
    published = [1, 0.99375, 0.9875, 0.98125, 0.975, 0.909375, 0.725, 0.421875, 0]
    assert torch.equal(ours.grid(8), torch.tensor(published, dtype=torch.float64))
    with pytest.raises(ValueError, match="a grid of 8 steps, not of 4"):
        ours.grid(4)
    with pytest.raises(ValueError, match="2 steps or more"):
        tiny.generator("ltx2-2.0", schedule="full").grid(1)


def test_the_full_grid_is_shifted_by_the_number_of_tokens_and_stretched_to_its_end() -> None:
    """Closed form at the paper's size: mu = 2.05 + (6144 - 4096) (2.05 - .95) / 3072, s = e^mu / (e^mu + 1 / t - 1)."""
    ours = tiny.generator("ltx2-2.0", schedule="full", width=768, height=512, frames=121)
    mu = 2.05 + (6144 - 4096) * 1.1 / 3072
    assert calculate_shift(6144, 1024, 4096, 0.95, 2.05) == pytest.approx(mu)
    even = torch.linspace(1, 1 / 5, 5, dtype=torch.float64)
    shifted = np.exp(mu) / (np.exp(mu) + 1 / even - 1)
    stretched = 1 - (1 - shifted) * 0.9 / (1 - shifted[-1])
    assert torch.allclose(ours.grid(5)[:-1], stretched, atol=1e-6)
    assert ours.grid(5)[-1] == 0


def test_given_tokens_never_change_and_the_network_sees_them_at_level_zero() -> None:
    ours = tiny.generator("ltx2-2.3", schedule="full", guidance={"blocks": (1,)})
    condition = ours.encode(tiny.image()[None], [tiny.SENTENCES[0]])
    x, given = ours.noise(condition, [0]), ours.given_tokens
    assert x.shape == (1, 8 + ours.audio_tokens, 16)
    assert given == 4
    assert ours.active_mask(condition).sum() == x.shape[1] - given
    assert torch.equal(x[:, :given], condition.given)
    assert torch.equal(tiny.draw(ours, 3)[:, :given], condition.given)
    seen: dict[str, torch.Tensor] = {}
    ours.network.register_forward_pre_hook(lambda _, __, inputs: seen.update(inputs), with_kwargs=True)
    assert (ours.velocity(x, torch.tensor([0.6]), condition, None)[:, :given] == 0).all()
    assert torch.allclose(seen["timestep"][0], torch.tensor([0.0] * 4 + [600.0] * 4))
    assert torch.allclose(seen["audio_timestep"], torch.tensor([600.0]))


def test_noise_depends_on_its_own_seed_alone_and_rows_can_be_picked() -> None:
    ours = tiny.generator("ltx2-2.3", schedule="full", guidance={"blocks": (1,)})
    images = np.stack([tiny.image(seed=seed) for seed in (0, 1)])
    condition = ours.encode(images, list(tiny.SENTENCES[:2]))
    assert isinstance(condition, Ltx2Condition)
    rows = torch.tensor([1, 0, 1])
    x = ours.noise(condition, [5, 6])
    picked = ours.noise(condition.select(rows), [6, 5, 6])
    assert torch.equal(picked, x[rows])
    sigma = torch.tensor([0.9, 0.4])
    with torch.no_grad():
        v = ours.velocity(x, sigma, condition, None)
        again = ours.velocity(picked, sigma[rows], condition.select(rows), None)
    assert torch.allclose(again, v[rows], atol=1e-5)


def test_without_audio_the_video_is_exactly_that_of_the_network_that_hears_nothing() -> None:
    silent = tiny.generator("ltx2-2.3", audio="off")
    joint = tiny.generator("ltx2-2.3")
    condition = silent.encode(tiny.image()[None], [tiny.SENTENCES[0]])
    x, sigma = silent.noise(condition, [0]), torch.tensor([0.7])
    both = joint.noise(joint.encode(tiny.image()[None], [tiny.SENTENCES[0]]), [0])
    assert silent.audio_tokens == 0
    assert torch.equal(x, both[:, : silent.video_tokens])
    condition_both = joint.encode(tiny.image()[None], [tiny.SENTENCES[0]])
    with torch.no_grad():
        v = silent.velocity(x, sigma, condition, None)
        isolated = joint._unguided(both, sigma, condition_both.text, isolated=True)[:, silent.given_tokens : 8]
        heard = joint.velocity(both, sigma, condition_both, None)[:, silent.given_tokens : 8]
    assert torch.equal(v[:, silent.given_tokens :], isolated)
    assert (heard - isolated).abs().max() > 0.01


@pytest.mark.parametrize(("audio", "linears"), [("joint", 28), ("off", 10)])
@pytest.mark.parametrize("name", VERSIONS)
def test_every_adapted_linear_is_trained_and_nothing_else(name: str, audio: str, linears: int) -> None:
    ours = tiny.generator(name, audio=audio)
    lora.add_adapter(ours.network, "policy", ours.lora_targets, rank=2, alpha=4.0, seed=0)
    tiny.shake(ours.network, "policy")
    condition = ours.encode(tiny.image()[None], [tiny.SENTENCES[0]])
    x = ours.noise(condition, [0])
    ours.velocity(x, torch.tensor([0.7]), condition, "policy").square().mean().backward()
    touched = {name for name, weight in ours.network.named_parameters() if weight.grad is not None}
    adapted = lora.parameters(ours.network, "policy")
    assert len(adapted) == 2 * 2 * linears
    assert all(weight.grad is not None and weight.grad.abs().max() > 0 for weight in adapted)
    assert all(".policy." in name for name in touched)
    assert len(touched) == len(adapted)


def test_the_image_is_compressed_as_in_training_or_not_at_all() -> None:
    given = {
        crf: tiny.generator("ltx2-2.0", image_crf=crf).encode(tiny.image()[None], ["walk"]).given for crf in (0, 33)
    }
    assert not torch.allclose(given[0], given[33], atol=1e-3)
    ours = tiny.generator("ltx2-2.0", schedule="full", guidance=UNGUIDED, image_crf=0)
    assert np.abs(tiny.pixels(ours, tiny.draw(ours, 2)) - theirs("ltx2-2.0", 2, image_crf=0, **OFF)).max() < 1e-5


def test_an_image_of_another_shape_is_cut_around_its_centre() -> None:
    wide = np.concatenate([np.zeros((64, 16, 3), np.uint8), tiny.image(), np.zeros((64, 16, 3), np.uint8)], 1)
    ours = tiny.generator("ltx2-2.0", image_crf=0)
    texts = ["walk"]
    assert torch.equal(ours.encode(wide[None], texts).given, ours.encode(tiny.image()[None], texts).given)


def test_parts_that_are_not_used_need_not_be_there(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(tiny.folder("ltx2-2.3"), copy)
    shutil.rmtree(copy / "vocoder")
    index = json.loads((copy / "model_index.json").read_text())
    index["processor"] = ["transformers", "Gemma3Processor"]
    (copy / "model_index.json").write_text(json.dumps(index))
    found = tiny.generator("ltx2-2.3", weights=str(copy)).text_features("walk")
    assert torch.equal(found["video"], tiny.generator("ltx2-2.3").text_features("walk")["video"])


def test_what_it_cannot_do_is_said() -> None:
    with pytest.raises(ValueError, match=r"models\.ltx2\.frames is 10: it must be 8 k \+ 1"):
        tiny.generator("ltx2-2.0", frames=10)
    ours = tiny.generator("ltx2-2.0")
    assert isinstance(ours, Ltx2Generator)
    with pytest.raises(ValueError, match="too long for LTX-2"):
        ours.encode(tiny.image()[None], ["door " * 2000])
    with pytest.raises(ValueError, match="one text per image"):
        ours.encode(tiny.image()[None], ["one", "two"])
    with pytest.raises(ValueError, match="a condition of its own"):
        ours.velocity(torch.zeros(1), torch.ones(1), object(), None)
