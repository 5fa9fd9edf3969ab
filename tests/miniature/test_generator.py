from pathlib import Path

import numpy as np
import pytest
import torch

from wmsd_core import models
from wmsd_core.generators import lora
from wmsd_core.generators.protocol import Generator
from wmsd_core.miniature.drawing import draw, picture, to_uint8
from wmsd_core.miniature.generator import MiniatureCondition, MiniatureGenerator
from wmsd_core.miniature.network import Network, NetworkConfig
from wmsd_core.miniature.pretrain import save
from wmsd_core.miniature.scene import sample
from wmsd_core.miniature.weights import checksum
from wmsd_core.models import ModelsConfig, base_checksum

SCENES = sample(np.random.default_rng(0), 4)
IMAGES = to_uint8(draw(SCENES))
TEXTS = [f"The {SCENES.name(row, 0)} moves to column 3." for row in range(4)]


def fresh() -> MiniatureGenerator:
    torch.manual_seed(0)
    network = Network(NetworkConfig(width=32, depth=2, heads=2))
    torch.nn.init.normal_(network.head.weight, std=0.1)
    return MiniatureGenerator(network, checksum="test")


@pytest.fixture(scope="module")
def generator() -> Generator:
    return fresh()


@pytest.fixture(scope="module")
def condition(generator: Generator) -> MiniatureCondition:
    found = generator.encode(IMAGES, TEXTS)
    assert isinstance(found, MiniatureCondition)
    return found


def test_noise_has_the_given_frame_in_place_and_depends_on_each_seed_alone(generator, condition):
    x = generator.noise(condition, [5, 6, 7, 8])
    assert x.shape == (4, 7, 3, 20, 20)
    assert np.array_equal(generator.decode(x)[:, 0], IMAGES)
    rows = torch.tensor([2, 0, 2])
    assert torch.equal(generator.noise(condition.select(rows), [7, 5, 7]), x[rows])
    assert abs(float(x[:, 1:].std()) - 1) < 0.02


def test_velocity_is_zero_where_the_mask_says_given(generator, condition):
    x = generator.noise(condition, [0, 1, 2, 3])
    v = generator.velocity(x, torch.full((4,), 0.8), condition, None)
    mask = generator.active_mask(condition).expand_as(x)
    assert torch.all(v[~mask] == 0)
    assert torch.all(v[mask] != 0)
    assert mask[:, 0].sum() == 0
    assert mask[:, 1:].all()


def test_velocity_leads_to_the_prediction(generator, condition):
    x = generator.noise(condition, [0, 1, 2, 3])
    sigma = torch.tensor([1.0, 0.8, 0.3, 0.06])
    v = generator.velocity(x, sigma, condition, None)
    x_0 = generator.network(x[:, 1:], sigma, condition.first, condition.words)
    assert torch.allclose(x[:, 1:] - sigma.view(-1, 1, 1, 1, 1) * v[:, 1:], x_0, atol=1e-5)


def test_the_grid_is_shifted_and_runs_from_one_to_zero(generator):
    grid = generator.grid(4)
    assert grid.dtype == torch.float64
    assert torch.allclose(grid, torch.tensor([1, 12 / 13, 4 / 5, 4 / 7, 0], dtype=torch.float64))
    for steps in (1, 3, 8, 50):
        grid = generator.grid(steps)
        assert len(grid) == steps + 1
        assert (grid[0], grid[-1]) == (1, 0)
        assert (grid.diff() < 0).all()


def test_a_large_picture_gives_the_condition_of_a_small_one(generator, condition):
    large = generator.encode(np.stack([picture(SCENES, row) for row in range(4)]), TEXTS)
    assert torch.allclose(large.first, condition.first, atol=0.06)
    assert torch.equal(large.words, condition.words)


def test_adapters_act_when_named_and_none_is_the_base_bit_for_bit():
    generator = fresh()
    condition = generator.encode(IMAGES, TEXTS)
    x, sigma = generator.noise(condition, [0, 1, 2, 3]), torch.full((4,), 0.9)
    base = generator.velocity(x, sigma, condition, None)
    lora.add_adapter(generator.network, "policy", generator.lora_targets, rank=4, alpha=8.0, seed=0)
    assert len(lora.parameters(generator.network, "policy")) == 2 * 4 * 2
    assert torch.equal(generator.velocity(x, sigma, condition, "policy"), base)
    with torch.no_grad():
        for weight in lora.parameters(generator.network, "policy"):
            weight.add_(0.1)
    assert not torch.allclose(generator.velocity(x, sigma, condition, "policy"), base)
    assert torch.equal(generator.velocity(x, sigma, condition, None), base)
    generator.velocity(x, sigma, condition, "policy").square().mean().backward()
    assert all(weight.grad is not None for weight in lora.parameters(generator.network, "policy"))
    with pytest.raises(ValueError, match="no adapter named 'old'"):
        generator.velocity(x, sigma, condition, "old")


def test_what_it_cannot_read_is_named(generator):
    with pytest.raises(ValueError, match="'jumps'"):
        generator.encode(IMAGES[:1], ["The red circle jumps."])
    with pytest.raises(ValueError, match="one text per image"):
        generator.encode(IMAGES, TEXTS[:2])


def test_its_checksum_is_known_without_loading_it(tmp_path: Path):
    assert base_checksum(ModelsConfig()) == MiniatureGenerator.load().checksum == checksum()
    mine = tmp_path / "mine.safetensors"
    save(Network(NetworkConfig(width=32, depth=1, heads=2)), mine, {})
    other = ModelsConfig.model_validate({"miniature": {"weights": str(mine)}})
    assert base_checksum(other) == models.generator(other).checksum == checksum(mine) != checksum()
    for asked in (checksum, MiniatureGenerator.load):
        with pytest.raises(ValueError, match="wmsd miniature pretrain"):
            asked(tmp_path / "none.safetensors")
