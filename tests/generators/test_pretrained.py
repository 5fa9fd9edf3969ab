"""What all generators with pretrained weights promise, on tiny models of the real classes."""

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers.guiders import ClassifierFreeGuidance
from peft import PeftModel, get_peft_model_state_dict
from peft.tuners.lora import LoraLayer
from PIL import Image
from safetensors.torch import load_file

from tests.generators import tiny
from wmsd_core import models
from wmsd_core.generators import checkpoints, lora
from wmsd_core.generators.features import FeatureCache
from wmsd_core.models import ModelsConfig
from wmsd_core.training import adapters
from wmsd_core.training.config import TrainConfig
from wmsd_core.training.encoding import encode_ahead, upcoming
from wmsd_core.training.examples import Example
from wmsd_core.training.groups import GroupSampler
from wmsd_core.training.merging import write_merged
from wmsd_core.training.process import train
from wmsd_core.training.run import Run

NAMES = ("ltx2-2.3", "hunyuan15")


def settings(name: str) -> dict[str, Any]:
    """With guidance, and any number of steps."""
    return {"schedule": "full", "guidance": {"blocks": (1,)}} if "ltx2" in name else {"guidance": 2.0}


def attached(name: str, **changes: Any) -> Any:
    made = tiny.generator(name, **settings(name) | changes)
    adapters.attach(made, ("policy", "ema"), rank=2, alpha=8.0, seed=0)
    tiny.shake(made.network, "policy")
    tiny.shake(made.network, "ema")
    return made


@pytest.mark.parametrize("name", NAMES)
def test_saved_and_loaded_it_draws_the_same_video(name: str, tmp_path: Path) -> None:
    tiny.pipeline(name).save_pretrained(tmp_path / "copy")
    original = tiny.generator(name, **settings(name))
    copy = tiny.generator(name, **settings(name), weights=str(tmp_path / "copy"))
    x_0 = tiny.draw(original, 2)
    assert torch.allclose(x_0, tiny.draw(copy, 2), atol=1e-5)
    assert np.abs(original.decode(x_0).astype(int) - copy.decode(x_0)).max() <= 1


@pytest.mark.parametrize("name", NAMES)
def test_a_network_that_will_be_split_waits_off_the_device(name: str) -> None:
    """`meta` stands for a GPU; everything but the network goes there."""
    here, there = (models.generator(tiny.named(name, device="meta"), split=split) for split in (True, False))
    kinds = [{weight.device.type for weight in made.network.parameters()} for made in (here, there)]
    assert kinds == [{"cpu"}, {"meta"}] and here.device.type == "meta"  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize("name", NAMES)
def test_the_published_adapter_draws_the_same_video_in_plain_diffusers(name: str, tmp_path: Path) -> None:
    ours = attached(name)
    adapters.publish(ours, tmp_path / "adapter", rank=2, alpha=8.0)
    expected = tiny.pixels(ours, tiny.draw(ours, 4, adapter="ema"))
    plain = tiny.pipeline(name)
    if "ltx2" in name:
        plain.load_lora_weights(tmp_path / "adapter", weight_name="adapter_model.safetensors")
        call = {"height": 64, "width": 64, "spatio_temporal_guidance_blocks": [1]}
        call["negative_prompt"] = ours.config.guidance.negative_prompt
    else:
        plain.transformer.load_lora_adapter(tmp_path / "adapter", weight_name="adapter_model.safetensors")
        plain.guider = ClassifierFreeGuidance(guidance_scale=2.0)
        call = {"negative_prompt": ""}
    found = plain(
        image=Image.fromarray(tiny.image()),
        prompt=tiny.SENTENCES[0],
        num_frames=9,
        num_inference_steps=4,
        generator=torch.Generator().manual_seed(3),
        output_type="np",
        return_dict=False,
        **call,
    )[0][0]
    assert np.abs(found - expected).max() < 1e-5
    assert np.abs(expected - tiny.pixels(ours, tiny.draw(ours, 4))).max() > 1e-3


@pytest.mark.parametrize("name", NAMES)
def test_peft_finds_every_weight_of_a_published_adapter(name: str, tmp_path: Path) -> None:
    ours = attached(name)
    tiny.shake(ours.network, "ema")
    adapters.publish(ours, tmp_path / "adapter", rank=2, alpha=8.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found: Any = PeftModel.from_pretrained(tiny.pipeline(name).transformer, str(tmp_path / "adapter" / "peft"))
    expected, given = lora.adapter_state(ours.network, "ema"), get_peft_model_state_dict(found)
    assert {key.removeprefix("base_model.model.") for key in given} == expected.keys()
    assert all(torch.equal(given["base_model.model." + key], weight) for key, weight in expected.items())


@pytest.mark.parametrize("name", NAMES)
def test_images_of_any_size_are_one_batch(name: str) -> None:
    ours = tiny.generator(name, **settings(name))
    images, texts = [tiny.image(), tiny.image(96, 64), tiny.image(64, 160)], list(tiny.SENTENCES[:3])
    together = ours.noise(ours.encode(images, texts), [0, 1, 2])
    alone = [
        ours.noise(ours.encode([image], [text]), [i]) for i, (image, text) in enumerate(zip(images, texts, strict=True))
    ]
    assert torch.equal(together, torch.cat(alone))


@pytest.mark.parametrize("name", NAMES)
def test_the_published_adapter_is_loaded_again(name: str, tmp_path: Path) -> None:
    ours = attached(name)
    adapters.publish(ours, tmp_path / "adapter", rank=2, alpha=8.0)
    again = tiny.generator(name, **settings(name))
    adapters.load_adapter(again, tmp_path / "adapter")
    assert torch.equal(tiny.draw(ours, 2, adapter="ema"), tiny.draw(again, 2, adapter="ema"))
    assert all(
        "lora_" in key and key.startswith("transformer.") for key in load_file(tmp_path / "adapter" / adapters.WEIGHTS)
    )


@pytest.mark.parametrize("name", NAMES)
def test_merged_weights_draw_what_the_adapter_drew_and_need_none(name: str, tmp_path: Path) -> None:
    ours = attached(name)
    adapters.publish(ours, tmp_path / "adapter", rank=2, alpha=8.0)
    (tmp_path / ".merged.partial").mkdir()  # somebody else's
    write_merged(tiny.generator(name, **settings(name)), tmp_path / "adapter", tmp_path / "merged")
    merged = tiny.generator(name, **settings(name), weights=str(tmp_path / "merged"))
    assert set(tiny.folder(name).iterdir()) == {
        tiny.folder(name) / path.name for path in (tmp_path / "merged").iterdir()
    }
    drawn = tiny.draw(merged, 4)
    torch.testing.assert_close(drawn, tiny.draw(ours, 4, adapter="ema"), atol=1e-4, rtol=1e-4)
    assert (drawn - tiny.draw(ours, 4)).abs().max() > 1e-2
    assert not any("lora" in key for key in merged.network.state_dict())
    with pytest.raises(ValueError, match="exists already"):
        write_merged(tiny.generator(name), tmp_path / "adapter", tmp_path / "merged")
    with pytest.raises(ValueError, match="set storage to same"):
        write_merged(tiny.generator(name, storage="float8"), tmp_path / "adapter", tmp_path / "other")
    assert {path.name for path in tmp_path.iterdir()} == {"adapter", "merged", ".merged.partial"}


def test_merging_in_bfloat16_rounds_the_sum_once(tmp_path: Path) -> None:
    ours = attached("ltx2-2.3", dtype="bfloat16")
    layer = next(module for module in ours.network.modules() if isinstance(module, LoraLayer))
    base, (a, b) = layer.get_base_layer(), (layer.lora_A["ema"].weight, layer.lora_B["ema"].weight)
    expected = (base.weight.double() + 4 * b.double() @ a.double()).to(torch.bfloat16)
    lora.merge(ours.network, "ema")
    assert (base.weight == expected).double().mean() > 0.999  # float32 and float64 may round a tie to either side


@pytest.mark.parametrize("name", NAMES)
def test_adapters_are_switched_bit_for_bit(name: str) -> None:
    ours = attached(name)
    plain = tiny.generator(name, **settings(name))
    base = tiny.draw(plain, 2)
    policy = tiny.draw(ours, 2, adapter="policy")
    assert torch.equal(tiny.draw(ours, 2), base)
    assert torch.equal(tiny.draw(ours, 2, adapter="policy"), policy)
    assert not torch.allclose(policy, base, atol=1e-3)
    assert all(weight.dtype == torch.float32 for weight in lora.parameters(ours.network, "policy"))


def gradient(ours: Any, *, between: bool = False) -> list[torch.Tensor]:
    """Of the policy's squared velocity; the base acts before the backward pass if `between`."""
    condition = ours.encode(tiny.image()[None], [tiny.SENTENCES[0]])
    x = ours.noise(condition, [0])
    loss = ours.velocity(x, torch.tensor([0.7]), condition, "policy").square().mean()
    if between:
        ours.velocity(x, torch.tensor([0.7]), condition, None)
    ours.network.zero_grad()
    loss.backward()
    return [weight.grad.clone() for weight in lora.parameters(ours.network, "policy") if weight.grad is not None]


@pytest.mark.parametrize("name", NAMES)
def test_recomputed_activations_give_the_same_gradient_whatever_acts_in_between(name: str) -> None:
    expected = gradient(attached(name, activation_checkpointing=False))
    ours = attached(name)
    passes: list[int] = []
    ours.network.transformer_blocks[0].register_forward_pre_hook(lambda *_: passes.append(1))
    found = gradient(ours, between=True)
    # Forward passes of the policy and of the base, and those of the policy once more.
    times = 4 if "ltx2" in name else 2
    assert len(passes) == 3 * times
    assert len(found) == len(expected) > 0
    for one, other in zip(found, expected, strict=True):
        assert torch.allclose(one, other, rtol=1e-4, atol=1e-7)
    assert lora.used(ours.network) is None


@pytest.mark.parametrize("storage", ["same", "float8"])
@pytest.mark.parametrize("name", NAMES)
def test_a_base_of_fewer_bits_draws_nearly_the_same_and_trains(name: str, storage: str) -> None:
    whole, small = attached(name), attached(name, dtype="bfloat16", storage=storage)
    linear = small.network.transformer_blocks[0].get_submodule(
        small.lora_targets[0].removeprefix("transformer_blocks.0.")
    )
    assert linear.base_layer.weight.dtype == (torch.bfloat16 if storage == "same" else torch.float8_e4m3fn)
    assert linear.lora_A["policy"].weight.dtype == torch.float32
    lora.load_adapter_state(small.network, "policy", lora.adapter_state(whole.network, "policy"))
    drawn = tiny.draw(small, 2)
    assert drawn.dtype == torch.float32
    assert 0 < (drawn - tiny.draw(whole, 2)).square().mean().sqrt() < 0.2
    found, expected = gradient(small), gradient(whole)
    assert all(part.dtype == torch.float32 for part in found)
    flat = [torch.cat([part.flatten() for part in parts]) for parts in (found, expected)]
    assert torch.nn.functional.cosine_similarity(*flat, dim=0) > 0.98
    assert small.checksum != whole.checksum


def test_adapters_are_drawn_in_float32_whatever_the_base_is_stored_in() -> None:
    ours = tiny.generator("ltx2-2.3", dtype="bfloat16", storage="float8")
    lora.add_adapter(ours.network, "policy", ours.lora_targets, rank=8, alpha=8.0, seed=0)
    down, up = lora.parameters(ours.network, "policy")[:2]
    assert down.unique().numel() > 0.99 * down.numel()
    assert (up == 0).all()


@pytest.mark.parametrize(("name", "width"), [("ltx2-2.3", 640), ("hunyuan15", 272)])
def test_a_video_decoded_in_tiles_is_nearly_the_same(name: str, width: int) -> None:
    size = {"width": width, "height": 64, "frames": 1}
    whole, tiled = (tiny.generator(name, **size, tiled_decode=tiles) for tiles in (False, True))
    condition = whole.encode(tiny.image()[None], ["walk"])
    x_0 = whole.noise(condition, [0])
    one, other = whole.decode(x_0).astype(float), tiled.decode(x_0).astype(float)
    assert one.shape == other.shape == (1, 1, 64, width, 3)
    assert 0 < np.abs(one - other).mean() < 0.2 * one.std()


@pytest.mark.parametrize("name", NAMES)
def test_features_are_the_same_computed_kept_in_memory_and_read_from_disk(name: str, tmp_path: Path) -> None:
    first = tiny.generator(name, tmp_path)
    computed = first.text_features("open the door"), first.image_features(tiny.image())
    kept = first.text_features("open the door"), first.image_features(tiny.image())
    first.release_encoders()
    second = tiny.generator(name, tmp_path)
    second._load_encoders = second._load_vae = lambda: pytest.fail("loaded, though everything was at hand")
    read = second.text_features("open the door"), second.image_features(tiny.image())
    for one, two, three in zip(computed, kept, read, strict=True):
        assert one.keys() == two.keys() == three.keys()
        assert all(torch.equal(one[key], two[key]) and torch.equal(one[key], three[key]) for key in one)


@pytest.mark.parametrize("name", NAMES)
def test_other_texts_pictures_or_weights_are_other_features(name: str, tmp_path: Path) -> None:
    ours = tiny.generator(name, tmp_path)
    one, other = ours.text_features("open the door"), ours.text_features("close the door")
    part = "video" if "ltx2" in name else "words"
    assert one[part].shape != other[part].shape or not torch.equal(one[part], other[part])
    ours.image_features(tiny.image())
    ours.image_features(tiny.image(seed=1))
    ours.weights_checksum = "another"
    ours.text_features("open the door")
    assert len(list(tmp_path.rglob("*.safetensors"))) == 5


def test_released_encoders_come_back_for_a_new_text() -> None:
    ours = tiny.generator("ltx2-2.3")
    before = ours.text_features("open the door")
    ours.release_encoders()
    assert ours._encoders is None
    assert torch.equal(ours.text_features("open the door")["video"], before["video"])
    assert ours._encoders is None
    ours.text_features("close the door")
    assert ours._encoders is not None


def test_before_training_the_examples_of_the_run_are_read_and_the_encoders_freed(tmp_path: Path) -> None:
    examples: list[Example] = []
    for i in range(3):
        Image.fromarray(tiny.image(seed=i)).save(tmp_path / f"{i}.png")
        examples.append(Example(pair_id=str(i), image=tmp_path / f"{i}.png", task=f"open {i}", solution=f"close {i}"))
    ours, groups = tiny.generator("ltx2-2.3", tmp_path / "features"), GroupSampler(3, per_step=1, seed=0)
    ahead = upcoming(groups, TrainConfig(steps=5), 3)
    assert ahead == sorted(slot.example for _ in range(2) for slot in groups.next())
    assert len(upcoming(groups, TrainConfig(steps=9), 0)) == 3
    encode_ahead(ours, [examples[number] for number in ahead])
    assert len(list((tmp_path / "features").rglob("*.safetensors"))) == 2 * 3
    assert ours._encoders is None
    for number in ahead:
        ours.encode(np.asarray(Image.open(examples[number].image))[None], [examples[number].task])
    assert ours._encoders is None


def test_a_damaged_feature_is_computed_again_and_memory_is_bounded(tmp_path: Path) -> None:
    counts: list[str] = []

    def compute(name: str) -> dict[str, torch.Tensor]:
        counts.append(name)
        return {"x": torch.full((256,), float(len(name)))}

    cache = FeatureCache(tmp_path, memory=2048)
    for name in ("a", "bb", "ccc", "ccc", "a"):
        assert cache.get([name], lambda name=name: compute(name))["x"][0] == len(name)
    assert counts == ["a", "bb", "ccc"]
    assert cache._bytes <= 2048
    next(tmp_path.rglob("*.safetensors")).write_bytes(b"damaged")
    fresh = FeatureCache(tmp_path)
    for name in ("a", "bb", "ccc"):
        assert fresh.get([name], lambda name=name: compute(name))["x"][0] == len(name)
    assert len(counts) == 4


@pytest.mark.parametrize("name", NAMES)
def test_the_checksum_follows_what_is_drawn_and_loads_nothing(name: str, tmp_path: Path) -> None:
    one = tiny.generator(name, tmp_path)
    assert "network" not in vars(one)
    assert one.checksum == tiny.generator(name, device="cpu", activation_checkpointing=False).checksum
    assert one.checksum != tiny.generator(name, frames=17).checksum
    memory = json.loads((tmp_path / "checksums.json").read_text())
    assert memory
    assert "network" not in vars(one) and "vae" not in vars(one) and one._encoders is None


def test_a_checksum_that_is_remembered_follows_the_files(tmp_path: Path) -> None:
    memory, files = (
        tmp_path / "memory.json",
        [tmp_path / "vae" / name for name in ("config.json", "weights.safetensors")],
    )
    files[0].parent.mkdir()
    for file in files:
        file.write_text("one")
    sums = [checkpoints.checksum(tmp_path, ["vae"], memory)]
    assert sums == [checkpoints.checksum(tmp_path, ["vae"])] == [checkpoints.checksum(tmp_path, ["vae"], memory)]
    for file in files:
        file.write_text("another")
        sums.append(checkpoints.checksum(tmp_path, ["vae"], memory))
        assert sums[-1] == checkpoints.checksum(tmp_path, ["vae"])
    assert len(set(sums)) == 3


def test_weights_that_cannot_be_had_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "transformer").mkdir()
    with pytest.raises(ValueError, match=r"models\.ltx2\.weights: .* has no vae, audio_vae"):
        tiny.generator("ltx2-2.0", weights=str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ValueError, match=r"models\.ltx2\.weights: there is no folder 'nobody/nothing'"):
        tiny.generator("ltx2-2.0", weights="nobody/nothing")
    with pytest.raises(ValueError, match=r"models\.ltx2\.weights: there is no folder '/no such folder'"):
        tiny.generator("ltx2-2.0", weights="/no such folder")


def test_settings_reach_the_generator_that_they_name() -> None:
    config = ModelsConfig(generator="ltx2", ltx2=tiny.settings("ltx2-2.0"))
    assert config.settings == config.ltx2
    assert ModelsConfig().settings is None
    assert models.base_checksum(config) == tiny.generator("ltx2-2.0").checksum


@pytest.mark.parametrize("name", NAMES)
def test_a_run_trains_it(name: str, tmp_path: Path) -> None:
    run = Run(
        config=TrainConfig.model_validate(
            {
                "arm": "anchor",
                "steps": 2,
                "tasks_per_step": 2,
                "group_size": 1,
                "sampler_steps": 2,
                "adapter": {"rank": 2, "alpha": 4},
                "optimizer": {"learning_rate": 1e-2},
            }
        ),
        models=tiny.named(name, **settings(name)),
    )
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "run.json").write_text(run.model_dump_json())
    lines: list[str] = []
    for i in range(2):
        Image.fromarray(tiny.image(seed=i)).save(folder / f"{i}.png")
        example = {"pair_id": str(i), "image": f"{i}.png", "task": tiny.SENTENCES[i], "solution": tiny.SENTENCES[2 + i]}
        lines.append(json.dumps(example))
    (folder / "examples.jsonl").write_text("\n".join(lines) + "\n")
    events: list[dict[str, Any]] = []
    assert train(folder, stop=lambda: False, report=events.append, features=tmp_path / "features")
    losses = [event["anchor"] for event in events if event["event"] == "step"]
    assert len(losses) == 2
    assert all(np.isfinite(losses)) and all(loss > 0 for loss in losses)
    published = load_file(folder / "adapter" / adapters.WEIGHTS)
    assert any(weight.abs().max() > 0 for key, weight in published.items() if "lora_B" in key)
    # Two images, two short and two detailed texts, and the text that guidance leads away from: all read before the first
    # step, and the encoders gone.
    assert len(list((tmp_path / "features").rglob("*.safetensors"))) == 7
