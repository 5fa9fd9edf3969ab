"""Pretraining of the miniature's generator on captioned clips, from nothing, on one core.

What the base model learns, and what it does not, is decided by the mix of captions (shares in `PretrainConfig`):

- detailed: the motion as absolute waypoints. Where a leg ends level with a place or at an edge, half of the captions tell
  it by that landmark ("the column of the blue square", "the left edge"): so the words for landmarks are connected to
  pixels, as in any real video model. The planner's solutions have numbers only.
- vague: who moves, not where to.
- short: the text of a short task, naming a goal and the agent, over a motion of that agent that has nothing to do with
  the goal. So such texts are no surprise to the network, and mean nothing to it but who moves.
- none: no text, anybody moves.

Half of all motions end on a place or an edge, the others anywhere, in either order of legs, also over the other mover:
a wrong solution is drawn faithfully. No clip is ever shown with the text of a task that it was chosen to solve. With
`blocked`, motions that no text tells leg by leg go around the other mover, as things in real videos do.

Loss: |x_0 - prediction|^2 / max(sigma, .3)^2, sigma = shift(u) with u uniform (`noise_shift`). Optimizer: Muon
(Jordan et al. 2024) for the matrices of the blocks, AdamW for all else; the result is an average of the weights.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from pydantic import Field

from wmsd_core.config import Config
from wmsd_core.files import replacing
from wmsd_core.miniature import exam, language
from wmsd_core.miniature.generator import MiniatureGenerator
from wmsd_core.miniature.motion import FRAMES, film, waypoints
from wmsd_core.miniature.network import Network, NetworkConfig, noise_shift
from wmsd_core.miniature.scene import SIDE, Scenes, sample
from wmsd_core.seeds import derive

_DRAWS = 200
"""How often an end is drawn for a motion that has to go around (`_around`), before the last one stays."""


class PretrainConfig(Config):
    """Pretraining of the miniature's base model."""

    seed: int = 0
    """Run seed."""
    samples: int = Field(default=288_000, gt=0)
    """Clips seen in each round."""
    rounds: int = Field(default=2, gt=0)
    """Rounds of training. Each begins with the averaged weights of the one before, at half its learning rates."""
    batch: int = Field(default=64, gt=0)
    """Clips of a step."""
    detailed: float = Field(default=0.80, ge=0, le=1)
    """Share of captions that tell the motion leg by leg."""
    anchored: float = Field(default=0.5, ge=0, le=1)
    """Share of legs told by a landmark, among those of detailed captions that end level with one."""
    vague: float = Field(default=0.07, ge=0, le=1)
    """Share of captions that only say who moves."""
    blocked: float | None = Field(default=None, ge=0, le=1)
    """Let motions that no text tells leg by leg go around the other mover, this share of them where one order of legs leads
    over it; so in the weights `around`. None, and so in `base`: they go anywhere. docs/log.md has what it does."""
    short: float = Field(default=0.08, ge=0, le=1)
    """Share of texts of short tasks over an unrelated motion. What is left after these has no text."""
    muon_rate: float = Field(default=0.02, gt=0)
    """Muon's learning rate."""
    adam_rate: float = Field(default=2e-3, gt=0)
    """AdamW's learning rate."""
    average: float = Field(default=0.995, ge=0, lt=1)
    """Decay of the average of the weights."""
    network: NetworkConfig = NetworkConfig()
    """Size of the network."""


@dataclass(frozen=True)
class Progress:
    """Where pretraining stands after a step."""

    samples: int
    loss: float
    network: Network
    """The averaged weights so far."""


def captioned(
    rng: np.random.Generator, count: int, config: PretrainConfig, frames: int = FRAMES
) -> tuple[np.ndarray, list[str]]:
    """Clips float32 [count, frames, 20, 20, 3] in [0, 1], and their captions."""
    scenes = sample(rng, count)
    mover = rng.integers(0, 2, count)
    rows = np.arange(count)
    start, other = scenes.cells[rows, mover], scenes.cells[rows, 1 - mover]
    end = _ends(rng, scenes, start)
    horizontal_first = rng.random(count) < 0.5
    draws = rng.random((count, 5))
    if config.blocked is not None:
        untold = draws[:, 0] >= config.detailed
        end, sideways, upright = _around(rng, scenes, start, end, other, untold, rng.random(count) < config.blocked)
        horizontal_first = np.where(untold & sideways, False, np.where(untold & upright, True, horizontal_first))
    texts = [
        _caption(scenes, row, mover[row], start[row], end[row], bool(horizontal_first[row]), draws[row], config)
        for row in range(count)
    ]
    return film(scenes, mover, waypoints(start, end, horizontal_first), frames), texts


def _ends(rng: np.random.Generator, scenes: Scenes, start: np.ndarray) -> np.ndarray:
    """int64 [B, 2]: a quarter of the motions ends on a place, a quarter goes straight to an edge, others anywhere."""
    rows = np.arange(len(scenes))
    end = rng.integers(0, SIDE, start.shape)
    aim = rng.random(len(scenes))
    place = scenes.cells[rows, rng.integers(2, 4, len(scenes))]
    edge = start.copy()
    edge[rows, rng.integers(0, 2, len(scenes))] = rng.choice([0, SIDE - 1], len(scenes))
    end = np.where((aim < 0.25)[:, None], place, np.where((aim < 0.5)[:, None], edge, end))
    while (still := (end == start).all(1)).any():
        end[still] = rng.integers(0, SIDE, (int(still.sum()), 2))
    return end


def _around(
    rng: np.random.Generator,
    scenes: Scenes,
    start: np.ndarray,
    end: np.ndarray,
    other: np.ndarray,
    untold: np.ndarray,
    blocked: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ends int64 [B, 2], drawn again for `untold` motions until a way is free, and where `blocked` says so, only one; and
    whether the way sideways first, and the other, leads over the other mover, each bool [B].

    From some cells no end leaves only one way free. They have whatever comes after many draws: one untold motion in 800 goes
    over the other mover.
    """
    sideways = upright = np.zeros(len(end), bool)
    for _ in range(_DRAWS):
        sideways, upright = _over(start, end, other, 0), _over(start, end, other, 1)
        wrong = untold & np.where(blocked, sideways == upright, sideways & upright)
        if not wrong.any():
            break
        end = np.where(wrong[:, None], _ends(rng, scenes, start), end)
    return end, sideways, upright


def _over(start: np.ndarray, end: np.ndarray, other: np.ndarray, first: int) -> np.ndarray:
    """bool [B]: whether the way whose first leg goes along axis `first` leads over `other`, or ends on it; cells [B, 2]."""
    then = 1 - first
    within = (np.minimum(start, end) <= other) & (other <= np.maximum(start, end))
    return (within[:, first] & (other[:, then] == start[:, then])) | (
        within[:, then] & (other[:, first] == end[:, first])
    )


def _caption(
    scenes: Scenes,
    row: int,
    mover: int,
    start: np.ndarray,
    end: np.ndarray,
    horizontal_first: bool,
    draws: np.ndarray,
    config: PretrainConfig,
) -> str:
    """The caption of one clip; `draws` are five uniform numbers."""
    agent = scenes.name(row, mover)
    sort, choice, extra, *tellings = draws
    if sort < config.detailed:
        axes = [axis for axis in ((0, 1) if horizontal_first else (1, 0)) if start[axis] != end[axis]]
        legs = [str(language.Leg(axis, int(end[axis]))) for axis in axes]
        for leg, axis in enumerate(axes):
            landmarks = _landmarks(scenes, row, axis, int(end[axis]))
            if landmarks and tellings[leg] < config.anchored:
                legs[leg] = landmarks[int(extra * len(landmarks))]
        return language.solution(agent, tuple(legs))
    if sort < config.detailed + config.vague:
        return language.vague(agent)
    if sort < config.detailed + config.vague + config.short:
        place = scenes.name(row, 2 + int(extra * 2))
        return str(language.Task(agent, place if choice < 0.5 else f"{language.EDGES[int(extra * 4)]} edge"))
    return ""


def _landmarks(scenes: Scenes, row: int, axis: int, cell: int) -> list[str]:
    """What lies level with the end of a leg: the column or row of a place, or an edge."""
    places = [
        f"the {language.AXES[axis]} of the {scenes.name(row, place)}"
        for place in (2, 3)
        if scenes.cells[row, place, axis] == cell
    ]
    edges = [
        f"the {edge} edge"
        for edge, along, at in zip(language.EDGES, language.EDGE_AXIS, language.EDGE_CELL, strict=True)
        if along == axis and at == cell
    ]
    return places + edges


def pretrain(config: PretrainConfig) -> Iterator[Progress]:
    """Trains, and reports after each step; the last report has the result.

    The same config gives the same bits on the same machine with the same number of threads.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(config.seed, "pretrain weights"))
        network = Network(config.network)
    for turn in range(config.rounds):
        for progress in train(network, config, turn):
            yield progress
            network = progress.network


def train(start: Network, config: PretrainConfig, turn: int) -> Iterator[Progress]:
    """Round `turn` (0, 1, ...) from the weights of `start`, with fresh optimizers at 1 / 2^turn of the learning rates."""
    network, average = Network(config.network), Network(config.network)
    network.load_state_dict(start.state_dict())
    average.load_state_dict(start.state_dict())
    average.requires_grad_(False)
    rng = np.random.default_rng(derive(config.seed, "pretrain clips", index=turn))
    noise = torch.Generator().manual_seed(derive(config.seed, "pretrain noise", index=turn))
    matrices = [weight for weight in network.blocks.parameters() if weight.ndim == 2]
    others = [weight for weight in network.parameters() if all(weight is not matrix for matrix in matrices)]
    optimizers = (
        torch.optim.Muon(matrices, lr=config.muon_rate / 2**turn, weight_decay=0.0),
        torch.optim.AdamW(others, lr=config.adam_rate / 2**turn, betas=(0.9, 0.99), weight_decay=0.0),
    )
    steps = config.samples // config.batch
    schedules = [torch.optim.lr_scheduler.LambdaLR(o, lambda step: _rate(step, steps)) for o in optimizers]
    for step in range(steps):
        frames, texts = captioned(rng, config.batch, config)
        clip = torch.from_numpy(frames).permute(0, 1, 4, 2, 3) * 2 - 1
        words = torch.from_numpy(np.stack([language.tokenize(text) for text in texts]))
        first, x_0 = clip[:, 0], clip[:, 1:]
        sigma = noise_shift(torch.rand(config.batch, generator=noise))
        level = sigma.view(-1, 1, 1, 1, 1)
        x = (1 - level) * x_0 + level * torch.randn(x_0.shape, generator=noise)
        error = (network(x, sigma, first.contiguous(), words) - x_0).square().mean((1, 2, 3, 4))
        loss = (error / sigma.clamp(min=0.3).square()).mean()
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss.backward()
        for optimizer, schedule in zip(optimizers, schedules, strict=True):
            optimizer.step()
            schedule.step()
        # Early on the average follows closely, or the random start would stay in it for long.
        decay = min(config.average, step / (step + 10))
        with torch.no_grad():
            for mean, weight in zip(average.parameters(), network.parameters(), strict=True):
                mean.lerp_(weight, 1 - decay)
        yield Progress((turn * steps + step + 1) * config.batch, loss.item(), average)


def make(path: Path, config: PretrainConfig, *, questions: int = 400) -> Iterator[Progress]:
    """Pretrains, sits an exam of that many tasks, and writes the weights with config and scores in their metadata.

    Nothing is written before the end, so that an interrupted run leaves the weights that were there.
    """
    network = None
    for progress in pretrain(config):
        network = progress.network
        yield progress
    assert network is not None
    generator = MiniatureGenerator(network, checksum="")
    held_out = exam.write(questions, seed=config.seed)
    tellings: tuple[exam.Telling, ...] = ("clean", "planner", "short")
    scores = {
        f"{telling}, {steps} steps": exam.shares(exam.sit(generator, held_out, telling, steps=steps, adapter=None))
        for telling in tellings
        for steps in (4, 8)
    }
    save(network, path, {"config": config.model_dump_json(), "tasks": str(questions), "scores": json.dumps(scores)})


def save(network: Network, path: Path, metadata: dict[str, str]) -> None:
    """Writes the weights as safetensors, by a temporary name. `metadata` is stored beside the network's size."""
    weights = {name: weight.detach().contiguous() for name, weight in network.state_dict().items()}
    with replacing(path) as partial:
        partial.write_bytes(
            safetensors.torch.save(weights, {"network": json.dumps(network.config.model_dump()), **metadata})
        )


def _rate(step: int, steps: int) -> float:
    """Share of the learning rate: up over 100 steps, level, then down to 0 over the second half."""
    return min(1.0, (step + 1) / 100, 2 * (steps - step) / steps)
