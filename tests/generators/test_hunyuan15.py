"""HunyuanVideo-1.5 on random weights of the real classes, against diffusers' own pipeline on the same weights and noise."""

from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from diffusers.guiders import ClassifierFreeGuidance
from diffusers.pipelines.hunyuan_video1_5.image_processor import HunyuanVideo15ImageProcessor
from PIL import Image
from PIL.Image import Resampling

from tests.generators import tiny
from wmsd_core.generators import lora
from wmsd_core.generators.pretrained import fitted

NAME = "hunyuan15"
QUOTED = 'open the door that says "red mug"'


@cache
def loaded() -> Any:
    return tiny.pipeline(NAME)


def theirs(
    steps: int,
    text: str,
    guidance: float,
    negative: str = "blurry",
    given: np.ndarray | None = None,
    frames: int = 9,
) -> np.ndarray:
    pipeline = loaded()
    pipeline.guider = ClassifierFreeGuidance(guidance_scale=guidance)
    return pipeline(
        image=Image.fromarray(tiny.image() if given is None else given),
        prompt=text,
        negative_prompt=negative,
        num_frames=frames,
        num_inference_steps=steps,
        generator=torch.Generator().manual_seed(3),
        output_type="np",
        return_dict=False,
    )[0][0]


@pytest.mark.parametrize(("text", "guidance"), [(tiny.SENTENCES[0], 6.0), (QUOTED, 1.0), (QUOTED, 6.0)])
def test_it_draws_what_diffusers_draws(text: str, guidance: float) -> None:
    ours = tiny.generator(NAME, guidance=guidance, negative_prompt="blurry")
    x_0 = tiny.draw(ours, 2, text=text)
    expected = theirs(2, text, guidance)
    assert np.abs(tiny.pixels(ours, x_0) - expected).max() < 1e-5
    assert np.abs(ours.decode(x_0)[0] - np.round(expected * 255)).max() <= 1
    assert expected.std() > 0.05


@pytest.mark.parametrize(("height", "width", "frames"), [(64, 64, 17), (48, 80, 13), (96, 48, 5)])
def test_videos_of_other_sizes_and_lengths_are_those_of_diffusers_too(height: int, width: int, frames: int) -> None:
    """Its pipeline chooses a size by the shape of the picture."""
    given = tiny.image(height, width, seed=frames)
    expected = theirs(3, QUOTED, 2.0, given=given, frames=frames)
    size = {"height": expected.shape[1], "width": expected.shape[2], "frames": frames}
    ours = tiny.generator(NAME, guidance=2.0, negative_prompt="blurry", **size)
    assert np.abs(tiny.pixels(ours, tiny.draw(ours, 3, text=QUOTED, given=given)) - expected).max() < 1e-5


def test_the_grid_is_shifted_by_a_constant() -> None:
    grid = tiny.generator(NAME).grid(4)
    even = torch.tensor([1, 0.75, 0.5, 0.25, 0], dtype=torch.float64)
    assert torch.allclose(grid, 5 * even / (1 + 4 * even), atol=1e-6)


def test_a_text_in_a_batch_of_longer_ones_is_read_as_alone_and_rows_can_be_picked() -> None:
    ours = tiny.generator(NAME, guidance=2.0)
    images = np.stack([tiny.image(seed=seed) for seed in (0, 1)])
    texts = [tiny.SENTENCES[0], QUOTED]
    condition = ours.encode(images, texts)
    assert condition.text.words.shape[1] == condition.text.words_mask.sum(1).max()
    assert condition.text.glyphs_mask.sum(1).tolist()[0] == 0
    x, sigma = ours.noise(condition, [5, 6]), torch.tensor([0.9, 0.4])
    rows = torch.tensor([1, 0, 1])
    assert torch.equal(ours.noise(condition.select(rows), [6, 5, 6]), x[rows])
    with torch.no_grad():
        v = ours.velocity(x, sigma, condition, None)
        picked = ours.velocity(x[rows], sigma[rows], condition.select(rows), None)
        alone = [
            ours.velocity(x[i, None], sigma[i, None], ours.encode(images[i, None], [texts[i]]), None) for i in (0, 1)
        ]
    assert torch.allclose(picked, v[rows], atol=1e-5)
    assert torch.allclose(torch.cat(alone), v, atol=1e-5)


def test_every_adapted_linear_is_trained_and_four_of_the_last_block_could_not_be() -> None:
    ours = tiny.generator(NAME, guidance=1.0)
    dead = {"attn.add_q_proj", "attn.to_add_out", "ff_context.net.0.proj", "ff_context.net.2"}
    last = [f"transformer_blocks.1.{linear}" for linear in sorted(dead)]
    assert not set(last) & set(ours.lora_targets)
    assert len(ours.lora_targets) == 2 * 12 - 4
    lora.add_adapter(ours.network, "policy", [*ours.lora_targets, *last], rank=2, alpha=4.0, seed=0)
    tiny.shake(ours.network, "policy")
    condition = ours.encode(tiny.image()[None], [QUOTED])
    x = ours.noise(condition, [0])
    ours.velocity(x, torch.tensor([0.7]), condition, "policy").square().mean().backward()
    trained: dict[str, bool] = {}
    for name, weight in ours.network.named_parameters():
        if ".policy." in name:
            trained[name.split(".lora_")[0]] = weight.grad is not None and bool(weight.grad.abs().max() > 0)
        else:
            assert weight.grad is None
    assert {name for name, touched in trained.items() if not touched} == set(last)
    assert {name for name, touched in trained.items() if touched} == set(ours.lora_targets)


def test_all_latents_are_generated_and_the_image_is_beside_them() -> None:
    ours = tiny.generator(NAME, guidance=1.0)
    condition = ours.encode(tiny.image()[None], [QUOTED])
    x = ours.noise(condition, [0])
    assert x.shape == (1, 8, 3, 4, 4)
    assert ours.active_mask(condition).all()
    seen: dict[str, torch.Tensor] = {}
    ours.network.register_forward_pre_hook(lambda _, __, inputs: seen.update(inputs), with_kwargs=True)
    ours.velocity(x, torch.tensor([0.6]), condition, None)
    state, given, mask = seen["hidden_states"].split((8, 8, 1), 1)
    assert torch.equal(state, x)
    assert torch.equal(given[:, :, :1], condition.latent)
    assert (given[:, :, 1:] == 0).all()
    assert (mask[:, :, 0] == 1).all()
    assert (mask[:, :, 1:] == 0).all()


@pytest.mark.parametrize(("height", "width"), [(64, 64), (90, 40), (33, 100), (480, 848)])
def test_images_are_scaled_and_cut_as_diffusers_does(height: int, width: int) -> None:
    image = tiny.image(height, width)
    processor = HunyuanVideo15ImageProcessor(do_resize=False)
    expected = processor.resize(Image.fromarray(image), height=48, width=80, resize_mode="crop")
    assert np.array_equal(fitted(image, width=80, height=48, resample=Resampling.LANCZOS), expected)


def test_what_it_cannot_do_is_said() -> None:
    with pytest.raises(ValueError, match="step-distilled"):
        tiny.generator("hunyuan15-meanflow")
    with pytest.raises(ValueError, match=r"models\.hunyuan15\.frames is 10: it must be 4 k \+ 1"):
        tiny.generator(NAME, frames=10)
    ours = tiny.generator(NAME)
    with pytest.raises(ValueError, match=r"too long for HunyuanVideo-1\.5, which reads 1000 tokens"):
        ours.encode(tiny.image()[None], ["door " * 2000])
    with pytest.raises(ValueError, match="a condition of its own"):
        ours.velocity(torch.zeros(1), torch.ones(1), object(), None)
