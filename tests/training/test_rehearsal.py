"""What `wmsd train --dry-run` says: passes as they are made, memory as tensors take it, and which setting would help."""

import gc
import json
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from PIL import Image

from tests.generators import tiny
from tests.training.test_loop import SETTINGS
from tests.training.test_ltx2_training import Brightness
from tests.training.toy import ToyGenerator, write_run
from wmsd_core.training import needs, rehearsal
from wmsd_core.training.arms import TrainingArm
from wmsd_core.training.config import TrainConfig
from wmsd_core.training.examples import load_examples
from wmsd_core.training.footprint import Living, footprint
from wmsd_core.training.launch import LaunchConfig
from wmsd_core.training.loop import Trainer
from wmsd_core.training.needs import GIB, Proposal, Room, Sizes
from wmsd_core.training.passes import learning_passes, sampling_passes
from wmsd_core.training.rehearsal import rehearse
from wmsd_core.training.run import read_run

FLOORS = {"rewards": {"judged_floor": 1e-12, "distillation_floor": 1e-30, "batch_floor": 1e-12}}
SIZES = Sizes(40 * GIB, 20 * GIB, 2 * GIB, GIB, {1: 8 * GIB, 4: 26 * GIB}, 2**20, 2**20)
OBJECTIVES: dict[str, dict[str, Any]] = {
    "updates": {"awm": {"times": 2, "updates": 3, "kl_base": 0.1, "kl_ema": 0.1}},
    "grpo": {"reinforcement": "grpo", "grpo": {"size": 2, "updates": 2}},
    "nft": {"reinforcement": "nft", "nft": {"times": 2}},
    "vetted": {"vet_demonstrator": True},
    "recall": {"recall": {"tasks": 2}},
}


def restless(latents: Any) -> Any:
    return np.random.default_rng(0).integers(0, 255, (len(latents), 3, 2, 2, 3)).astype(np.uint8)


@pytest.mark.parametrize("name", [*get_args(TrainingArm), *OBJECTIVES])
def test_passes_are_foreseen_as_they_are_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Every rollout gets a reward of its own, so that none is left out."""
    monkeypatch.setattr(ToyGenerator, "decode", lambda _, x: restless(x))
    changes = OBJECTIVES.get(name) or {"arm": name}
    config = TrainConfig.model_validate(SETTINGS | FLOORS | changes)
    run = Trainer(config, ToyGenerator(), write_run(tmp_path, config), Brightness())
    for lesson, start in zip(config.lessons, (0, config.alternating.demonstrator_steps), strict=False):
        run.steps_done = start
        expected = sampling_passes(config, lesson).all + learning_passes(config, lesson).all
        assert run.step()["forwards"] == expected


def test_bytes_are_counted_while_they_live() -> None:
    before = torch.zeros(1000)
    with Living() as living:
        living.know(before)
        held = before.view(10, 100) + 1  # 4,000 bytes; a view is none
        (held * 2).sum()  # 4,000 more, and 4 of a number, all gone again
        gc.collect()
    assert (living.bytes, living.peak) == (4000, 8004)


def test_memory_of_a_pass_grows_with_its_latents_and_with_what_is_kept_for_the_backward_pass() -> None:
    def found(latents: int, *, again: bool) -> Any:
        generator = tiny.generator("ltx2-2.0", activation_checkpointing=again, frames=9)
        condition = generator.encode([tiny.image()] * latents, tiny.SENTENCES[:1] * latents)
        return footprint(generator, condition, rank=2, alpha=4)

    one, two, four, kept = found(1, again=True), found(2, again=True), found(4, again=True), found(4, again=False)
    assert four.backward - two.backward == pytest.approx(2 * (two.backward - one.backward), rel=0.02)
    assert kept.backward > 1.3 * four.backward
    generator = tiny.generator("ltx2-2.0")
    assert one.weights == sum(weight.nbytes for weight in generator.network.parameters())
    assert one.weights / 4 < one.narrow < one.weights / 2  # float32 to 8 bits, but for what stays as it is


def test_a_network_that_looks_at_numbers_is_counted_too() -> None:
    generator = tiny.generator("hunyuan15")
    condition = generator.encode([tiny.image()], tiny.SENTENCES[:1])
    assert footprint(generator, condition, rank=2, alpha=4).backward > 0
    assert torch.isfinite(tiny.draw(generator, 2)).all()  # and is as it was


@pytest.mark.parametrize(("name", "width"), [("ltx2-2.3", 640), ("hunyuan15", 272)])
def test_decoding_is_foreseen_as_it_is_whole_and_in_tiles(name: str, width: int) -> None:
    size: dict[str, Any] = {"width": width, "height": 64, "frames": 9}
    whole, tiled = (tiny.generator(name, **size, tiled_decode=tiles) for tiles in (False, True))
    condition = whole.encode(tiny.image()[None], tiny.SENTENCES[:1])
    foreseen = footprint(whole, condition, rank=2, alpha=4)
    x_0 = whole.noise(condition, [0])[0]
    for generator, expected in ((whole, foreseen.decoding), (tiled, foreseen.tiled)):
        assert generator.vae  # loaded before anything is counted
        with torch.no_grad(), Living() as living:
            living.know(x_0)
            generator.film(x_0)
        assert living.peak == pytest.approx(expected, rel=1e-4)  # what is known of the latents counts here
    assert foreseen.tiled != foreseen.decoding


def proposal(**changes: Any) -> Proposal:
    settings = {"tasks_per_step": 4, "group_size": 4, "micro_batch": 4, "awm": {"times": 1}} | changes
    return Proposal(TrainConfig.model_validate(settings), LaunchConfig(), SIZES)


def test_parts_add_up_to_what_a_step_takes() -> None:
    assert {name: size / GIB for name, size in needs.on_device(proposal()).items()} == {
        "weights": 40,
        "other models": 2,
        "adapters": 2,
        "gradients": 1,
        "moments": 2,
        "activations": 26,
    }
    host = {name: size / 2**20 for name, size in needs.on_host(proposal()).items()}
    assert host["states"] == 16 * 9 and host["the Demonstrator's velocities"] == 16 * 8
    assert host["videos to be scored"] == 3 * 2 * 4  # two micro-batches looked at, four waiting
    assert needs.checkpoint(proposal()) == 4 * GIB  # the Executor, its average, two moments
    large = replace(proposal(), sizes=replace(SIZES, decoding=30 * GIB, tiled=4 * GIB))
    assert {name: size / GIB for name, size in needs.on_device(large).items()} == {
        "weights": 40,
        "other models": 2,
        "adapters": 2,
        "moments": 2,
        "decoding": 30,  # when gradients and activations, which take 27, are gone
    }
    unseen = replace(large, train=large.train.model_copy(update={"arm": "anchor"}))
    assert "decoding" not in needs.on_device(unseen)
    more = proposal(arm="alternating", reinforcement="nft")
    assert needs.on_device(more)["adapters"] == 4 * GIB and needs.on_device(more)["moments"] == 4 * GIB


@pytest.mark.parametrize(
    ("free", "cure"),
    [
        (80, ""),
        (70, "train.micro_batch=2"),
        (55, "models.ltx2.storage=float8"),  # halving the micro-batch to 1 leaves 55 GiB, and a share is left free
        (40, "models.ltx2.storage=float8 --set train.micro_batch=1"),
        (30, "launch.processes=4 --set launch.shard=true --set train.micro_batch=1"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_change_that_costs_least(free: int, cure: str) -> None:
    room = Room(free * GIB, 200 * GIB, 100 * GIB)
    told = needs.complaint(proposal(tasks_per_step=8), room, "ltx2", tiny.settings("ltx2-2.0"))
    assert bool(told) == bool(cure)
    assert f"It would with --set {cure}" in told or not cure, told


def test_a_video_that_is_too_large_to_decode_is_to_be_decoded_in_tiles() -> None:
    large = replace(proposal(), sizes=replace(SIZES, decoding=40 * GIB, tiled=4 * GIB))
    room = Room(80 * GIB, 200 * GIB, 100 * GIB)
    whole = tiny.settings("ltx2-2.0", tiled_decode=False)
    assert "It would with --set models.ltx2.tiled_decode=true" in needs.complaint(large, room, "ltx2", whole)


def test_too_little_memory_of_the_machine_or_disk_is_told_too() -> None:
    plenty = Room(100 * GIB, 100 * GIB, 100 * GIB)
    assert not needs.complaint(proposal(), plenty, "ltx2")
    wide = proposal(tasks_per_step=4096, group_size=24)
    assert "It would with --set train.tasks_per_step=1024" in needs.complaint(
        wide, replace(plenty, host=500 * GIB), "ltx2"
    )
    assert "It would with --set train.adapter.rank=32" in needs.complaint(
        proposal(), replace(plenty, disk=7 * GIB), "ltx2"
    )
    together = needs.complaint(proposal(), Room(None, 70 * GIB, 100 * GIB), "ltx2")
    assert "the machine's memory has 70.0 GiB for 73.3" in together


@pytest.mark.parametrize(
    ("early", "worth"),
    # A step has 120 passes, and of what is recalled 2 tasks at each of 3 levels, with 0, 1 and 2 passes on the way and 2 there.
    [({}, 1.0), ({"recall": {"tasks": 2, "warm_up": 1200}}, (2400 + 1200 * 18 / 138) / 3600)],
)
def test_a_rehearsal_tells_all_and_leaves_the_folder_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, early: dict[str, Any], worth: float
) -> None:
    read: list[int] = []
    monkeypatch.setattr(rehearsal, "encode_ahead", lambda _, some: read.append(len(some)))
    config = TrainConfig.model_validate(SETTINGS | {"steps": 3600} | early)
    examples = write_run(tmp_path, config)
    before = sorted(tmp_path.rglob("*"))
    told: dict[str, Any] = {}
    rehearse(
        read_run(tmp_path),
        examples,
        LaunchConfig(),
        features=tmp_path / "features",
        disk=tmp_path,
        tell=told.__setitem__,
    )
    assert sorted(tmp_path.rglob("*")) == before
    assert read == [1 + 3], "more was read than the longest texts and the tasks of a step"
    assert told["generator"] == "toy" and told["judge"] == "toy-judge/1" and told["pictures"] == {"2x2": 5}
    recalled = 6 if early else 0
    passes = {"forward": 12 * (3 + 3 + 2 + 2) + 3 * recalled, "of these with backward": 12 * 4 + recalled}
    assert told["passes of a step"] == passes
    stages = told["seconds of a step"]
    assert {"rollout", "forward", "backward", "optimizer"} <= stages.keys()
    assert told["hours"] == pytest.approx(worth * sum(stages.values()))


def test_a_rehearsal_with_pretrained_weights_refuses_before_it_loads_them(tmp_path: Path) -> None:
    Image.fromarray(tiny.image()).save(tmp_path / "image.png")
    pair = {"pair_id": "a", "image": "image.png", "task": tiny.SENTENCES[0], "solution": tiny.SENTENCES[1]}
    (tmp_path / "examples.jsonl").write_text(json.dumps(pair) + "\n")
    settings = {"arm": "anchor", "tasks_per_step": 2**34, "group_size": 1, "adapter": {"rank": 2, "alpha": 2}}
    models = {"generator": "ltx2", "ltx2": tiny.settings("ltx2-2.0").model_dump(mode="json")}
    run = {"config": settings, "models": models}
    (tmp_path / "run.json").write_text(json.dumps(run))
    told: dict[str, Any] = {}
    places = {"features": tmp_path / "features", "disk": tmp_path}
    examples = load_examples(tmp_path / "examples.jsonl")
    with pytest.raises(
        ValueError, match=r"does not fit: the machine's memory .* It would with --set train\.tasks_per_step="
    ):
        rehearse(read_run(tmp_path), examples, LaunchConfig(), **places, tell=told.__setitem__)
    assert told["tokens of a video"] == {"video": 8, "sound": 9} and "seconds of a step" not in told
    (tmp_path / "run.json").write_text(json.dumps(run | {"config": settings | {"tasks_per_step": 2}}))
    rehearse(read_run(tmp_path), examples, LaunchConfig(), **places, tell=told.__setitem__)
    assert told["hours"] > 0
