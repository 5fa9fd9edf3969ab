import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from wmsd_core.miniature import exam, planner
from wmsd_core.miniature.drawing import to_uint8
from wmsd_core.miniature.generator import MiniatureGenerator
from wmsd_core.miniature.language import EDGE_AXIS, EDGE_CELL, EDGES, find_task, tokenize
from wmsd_core.miniature.network import NetworkConfig
from wmsd_core.miniature.pretrain import PretrainConfig, captioned, make, pretrain
from wmsd_core.miniature.verifier import track
from wmsd_core.miniature.weights import SHIPPED, MiniatureConfig

SMALL = PretrainConfig(samples=96, batch=16, rounds=2, network=NetworkConfig(width=32, depth=1, heads=2))


def test_the_mix_of_captions_is_the_stated_one():
    frames, texts = captioned(np.random.default_rng(0), 4000, PretrainConfig())
    assert frames.shape == (4000, 7, 20, 20, 3)
    sorts = {
        "none": sum(not text for text in texts),
        "short": sum(find_task(text) is not None for text in texts),
        "vague": sum("somewhere" in text for text in texts),
        "by a place": sum("of the" in text for text in texts),
        "by an edge": sum(text.startswith("The") and "edge" in text for text in texts),
    }
    assert abs(sorts["none"] / 4000 - 0.05) < 0.015
    assert abs(sorts["short"] / 4000 - 0.08) < 0.015
    assert abs(sorts["vague"] / 4000 - 0.07) < 0.015
    assert 0.15 < sorts["by a place"] / 4000 < 0.30
    assert 0.10 < sorts["by an edge"] / 4000 < 0.25
    for text in texts:
        tokenize(text)


def test_a_leg_is_told_by_a_landmark_only_where_it_ends_there():
    frames, texts = captioned(
        np.random.default_rng(1), 500, PretrainConfig(detailed=1.0, vague=0.0, short=0.0, anchored=1.0)
    )
    seen = track(to_uint8(frames))
    checked = 0
    for row, text in enumerate(texts):
        for edge, axis, cell in zip(EDGES, EDGE_AXIS, EDGE_CELL, strict=True):
            if f"the {edge} edge" in text:
                mover = [seen.scenes.name(row, 0), seen.scenes.name(row, 1)].index(" ".join(text.split()[1:3]))
                checked += 1
                assert abs(seen.centre[row, -1, mover, axis] - cell) < 0.3, text
    assert checked > 100


def test_where_asked_a_mover_goes_around_the_other_unless_it_is_told_to_go_over_it():
    frames, texts = captioned(np.random.default_rng(2), 4000, PretrainConfig(blocked=0.5))
    over = [gone for gone, _ in ways(frames)]
    told = [text.startswith("The") and "somewhere" not in text for text in texts]
    assert np.mean([gone for gone, by in zip(over, told, strict=True) if not by]) < 0.005
    assert np.mean([gone for gone, by in zip(over, told, strict=True) if by]) > 0.05
    # Of motions that no text tells, so many would have gone over it in the other order of legs.
    for share in (0.0, 0.5, 1.0):
        untold = PretrainConfig(detailed=0.0, vague=0.0, short=0.0, blocked=share)
        around = [other for _, other in ways(captioned(np.random.default_rng(3), 800, untold)[0])]
        at_random, at_most = 0.11, 0.9  # from some cells there is no such motion
        assert abs(np.mean(around) - (at_random + share * (at_most - at_random))) < 0.05


def ways(frames: np.ndarray) -> list[tuple[bool, bool]]:
    """Whether the mover goes over the other one, and whether it would with its legs in the other order."""
    seen = track(to_uint8(frames))
    found = []
    for row, centre in enumerate(seen.centre):
        mover = int(np.argmax(np.abs(centre[-1] - centre[0]).sum(-1)))
        start, end = (tuple(map(int, np.round(centre[at, mover]))) for at in (0, -1))
        legs = [planner.Leg(axis, end[axis]) for axis in (0, 1) if start[axis] != end[axis]]
        if len(legs) == 2 and abs(centre[1, mover, 0] - start[0]) < 0.1:
            legs.reverse()
        other = tuple(map(int, seen.scenes.cells[row, 1 - mover]))
        found.append(tuple(other in planner.route(start, tuple(order)) for order in (legs, legs[::-1])))
    return found


def test_pretraining_repeats_bit_for_bit():
    first, second = list(pretrain(SMALL)), list(pretrain(SMALL))
    assert [step.loss for step in first] == [step.loss for step in second]
    assert [step.samples for step in first] == [16 * (i + 1) for i in range(12)]
    weights = zip(first[-1].network.parameters(), second[-1].network.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in weights)


def test_the_loss_falls():
    losses = [step.loss for step in pretrain(SMALL.model_copy(update={"samples": 2400, "rounds": 1}))]
    assert np.mean(losses[-20:]) < 0.75 * np.mean(losses[:20])


def test_weights_are_written_at_the_end_only_with_what_made_them(tmp_path: Path):
    path = tmp_path / "base.safetensors"
    run = make(path, SMALL, questions=8)
    next(run)
    run.close()
    assert not path.exists()
    *_, last = make(path, SMALL, questions=8)
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    assert PretrainConfig.model_validate_json(metadata["config"]) == SMALL
    assert set(json.loads(metadata["scores"])["clean, 4 steps"]) == {"task", "agent", "consistency", "all"}
    loaded = MiniatureGenerator.load(path)
    assert all(torch.equal(a, b) for a, b in zip(loaded.network.parameters(), last.network.parameters(), strict=True))


def test_missing_weights_are_an_error_that_says_how_to_make_them(tmp_path: Path):
    with pytest.raises(ValueError, match="miniature pretrain"):
        MiniatureGenerator.load(tmp_path / "none.safetensors")


@pytest.mark.parametrize("name", ["base", "around"])
def test_the_shipped_weights_draw_detailed_solutions_and_do_not_understand_short_tasks(name: str):
    weights = MiniatureConfig(weights=name).file
    assert weights.parent == SHIPPED and weights.stat().st_size < 5_000_000
    generator = MiniatureGenerator.load(weights)
    held_out = exam.write(64, seed=11)
    clean = exam.shares(exam.sit(generator, held_out, "clean", steps=4, adapter=None))
    short = exam.shares(exam.sit(generator, held_out, "short", steps=4, adapter=None))
    assert clean["task"] >= 0.95
    assert clean["agent"] >= 0.95
    assert clean["consistency"] >= 0.9
    assert short["task"] <= 0.35
    assert short["all"] <= 0.1
