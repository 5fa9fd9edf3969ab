"""Pretraining of the miniature's LTX-2 (`ltx2`) on the captioned clips of `pretrain`, through the real adapter.

Text encoder and autoencoder stay as they are; connectors and network learn. Loss: |v - prediction|^2 with noise levels
shift(u), u uniform, as sampling draws them; channels weigh by their deviation in pixels, since all have unit deviation as
latents, and pixels are what is judged. Optimizer and average of the weights: those of `pretrain`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from wmsd_core.config import Config
from wmsd_core.files import replacing
from wmsd_core.generators.ltx2 import Ltx2Condition, Ltx2Generator, Text
from wmsd_core.miniature import autoencoder, exam, ltx2
from wmsd_core.miniature.ltx2_settings import FRAMES, TEXT_LENGTH, adapter
from wmsd_core.miniature.muon import Muon
from wmsd_core.miniature.network import noise_shift
from wmsd_core.miniature.pretrain import PretrainConfig, captioned
from wmsd_core.seeds import derive

_STATE = "pretraining.pt"


class PretrainLtx2Config(Config):
    """Pretraining of the miniature's LTX-2."""

    incidental = frozenset({"save_every"})

    seed: int = 0
    """Run seed."""
    samples: int = Field(default=288_000, gt=0)
    """Clips seen."""
    batch: int = Field(default=32, gt=0)
    """Clips of a step."""
    muon_rate: float = Field(default=0.02, gt=0)
    """Muon's learning rate, for the matrices of blocks and connectors."""
    adam_rate: float = Field(default=2e-3, gt=0)
    """AdamW's learning rate, for all else."""
    average: float = Field(default=0.998, ge=0, lt=1)
    """Decay of the average of the weights."""
    clips: int = Field(default=4000, gt=1)
    """Clips that the autoencoder's components are taken from."""
    save_every: int = Field(default=100, gt=0)
    """Steps between two checkpoints."""
    size: ltx2.SizeConfig = ltx2.SizeConfig()
    """Size of the network."""
    captions: PretrainConfig = PretrainConfig(vague=0.12)
    """Mix of captions. Texts of no words are none for a text encoder, so their share goes to vague ones."""


class Pupil:
    """Network and connectors that learn, with optimizers, schedule, average and the generators of clips and noise."""

    def __init__(self, folder: Path, config: PretrainLtx2Config) -> None:
        self.config, self.step = config, 0
        self.generator = Ltx2Generator(adapter(str(folder)))
        self.network, self.connectors = self.generator.network, self.generator.encoders.connectors
        self.components = components(config)
        self.weight = _weights(self.components)
        self.rng = np.random.default_rng(derive(config.seed, "pretrain clips"))
        self.noise = torch.Generator().manual_seed(derive(config.seed, "pretrain noise"))
        self._hidden: dict[str, tuple[Tensor, Tensor]] = {}
        heard = {name: w for name, w in self._named() if "audio" not in name and "a2v" not in name}
        for weight in heard.values():
            weight.requires_grad_(True)
        matrices = [w for name, w in heard.items() if "transformer_blocks" in name and w.ndim == 2 and min(w.shape) > 8]
        chosen = {id(w) for w in matrices}
        self.trained = heard
        self.average = {name: w.detach().clone() for name, w in heard.items()}
        self.optimizers = (
            Muon(matrices, lr=config.muon_rate),
            torch.optim.AdamW(
                [w for w in heard.values() if id(w) not in chosen],
                lr=config.adam_rate,
                betas=(0.9, 0.99),
                weight_decay=0.0,
            ),
        )
        self.rates = [[g["lr"] for g in optimizer.param_groups] for optimizer in self.optimizers]

    def _named(self) -> Iterator[tuple[str, nn.Parameter]]:
        for part, module in (("transformer", self.network), ("connectors", self.connectors)):
            for name, weight in module.named_parameters():
                yield f"{part}.{name}", weight

    def loss(self) -> Tensor:
        """Of a batch of new clips."""
        frames, texts = captioned(self.rng, self.config.batch, self.config.captions, FRAMES)
        x_0 = self.components.encode(frames)
        sigma = noise_shift(torch.rand(len(x_0), generator=self.noise))
        noise = torch.randn(x_0.shape, generator=self.noise)
        level = sigma.view(-1, 1, 1)
        x = (1 - level) * x_0 + level * noise
        given = x_0[:, : self.generator.given_tokens]
        x[:, : self.generator.given_tokens] = given
        predicted = self.generator.velocity(x, sigma, Ltx2Condition(given, self._read(texts), None), None)
        error = (predicted - (noise - x_0))[:, self.generator.given_tokens :].square() * self.weight
        # As x_0 is judged: an error of v counts sigma-fold in it, and a tenth part of that near the end.
        return (error.mean((1, 2)) * (sigma / sigma.clamp(min=0.3)).square()).mean()

    def _read(self, texts: list[str]) -> Text:
        encoders = self.generator.encoders
        for text in set(texts) - self._hidden.keys():
            with torch.no_grad():
                hidden, mask, _, _ = encoders.encode_prompt(
                    text, do_classifier_free_guidance=False, max_sequence_length=TEXT_LENGTH, device="cpu"
                )
            self._hidden[text] = (hidden[0], mask[0])
        hidden, mask = (torch.stack(part) for part in zip(*(self._hidden[text] for text in texts), strict=True))
        video, audio, mask = self.connectors(hidden, mask, padding_side="left")
        return Text(video, torch.zeros_like(audio[:, :1]).detach(), mask)

    def learn(self) -> float:
        """One step; returns its loss."""
        steps = self.config.samples // self.config.batch
        share = min(1.0, (self.step + 1) / 100, 2 * (steps - self.step) / steps)
        for optimizer, rates in zip(self.optimizers, self.rates, strict=True):
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * share
            optimizer.zero_grad()
        loss = self.loss()
        loss.backward()
        for optimizer in self.optimizers:
            optimizer.step()
        decay = min(self.config.average, self.step / (self.step + 10))
        with torch.no_grad():
            for name, weight in self.trained.items():
                self.average[name].lerp_(weight, 1 - decay)
        self.step += 1
        return loss.item()

    def state(self) -> dict[str, Any]:
        """All that a later process needs to go on as this one would."""
        return {
            "config": self.config.digest(),
            "step": self.step,
            "batch": self.config.batch,
            "weights": {name: w.detach() for name, w in self.trained.items()},
            "average": self.average,
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "rng": self.rng.bit_generator.state,
            "noise": self.noise.get_state(),
        }

    def load(self, state: dict[str, Any]) -> None:
        self.step = state["step"]
        with torch.no_grad():
            for kept, found in ((self.trained, state["weights"]), (self.average, state["average"])):
                for name, weight in kept.items():
                    weight.copy_(found[name])
        for optimizer, found in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(found)
        self.rng.bit_generator.state = state["rng"]
        self.noise.set_state(state["noise"])


@dataclass(frozen=True)
class Progress:
    """Where pretraining stands after a step."""

    samples: int
    loss: float


def make(folder: Path, config: PretrainLtx2Config) -> Iterator[Progress]:
    """Pretrains, and leaves the pipeline in `folder`. An interrupted one goes on from its last checkpoint.

    Raises:
        ValueError: the folder holds a checkpoint of other settings.
    """
    state = folder / _STATE
    if not state.is_file():
        ltx2.build(config.seed, config.size, components(config)).save_pretrained(folder)
    pupil = Pupil(folder, config)
    if state.is_file():
        found = torch.load(state, weights_only=True)
        if found["config"] != config.digest():
            raise ValueError(f"{state} is of other settings: remove it to begin anew, or give those it was made with")
        pupil.load(found)
    steps = config.samples // config.batch
    while pupil.step < steps:
        loss = pupil.learn()
        if pupil.step % config.save_every == 0 or pupil.step == steps:
            with replacing(state) as partial:
                torch.save(pupil.state(), partial)
        yield Progress(pupil.step * config.batch, loss)
    export(pupil, folder)
    state.unlink()


def seen(folder: Path) -> int:
    """Clips that a pretraining in `folder` had seen when it was broken off; 0 where none was."""
    state = folder / _STATE
    if not state.is_file():
        return 0
    found = torch.load(state, weights_only=True)
    return found["step"] * found["batch"]


def export(pupil: Pupil, folder: Path) -> None:
    """Writes the averaged weights into the pipeline's folder."""
    kept = {name: weight.detach().clone() for name, weight in pupil.trained.items()}
    with torch.no_grad():
        for name, weight in pupil.trained.items():
            weight.copy_(pupil.average[name])
    pupil.network.save_pretrained(folder / "transformer")  # pyright: ignore[reportCallIssue]
    pupil.connectors.save_pretrained(folder / "connectors")
    with torch.no_grad():
        for name, weight in pupil.trained.items():
            weight.copy_(kept[name])


def examine(
    folder: Path,
    questions: int,
    *,
    seed: int,
    steps: Sequence[int] = (4, 8),
    tellings: Sequence[exam.Telling] = ("clean", "planner", "short"),
) -> dict[str, dict[str, float]]:
    """Shares of held-out tasks that the pipeline in `folder` solves, by telling and number of steps."""
    generator: Any = Ltx2Generator(
        adapter(str(folder))
    )  # pyright takes cached properties for no attributes of a protocol
    held_out = exam.write(questions, seed=seed)
    held_out = replace(held_out, images=autoencoder.enlarge(held_out.images / 255))
    return {
        f"{telling}, {n} steps": exam.shares(exam.sit(generator, held_out, telling, steps=n, adapter=None))
        for telling in tellings
        for n in steps
    }


def components(config: PretrainLtx2Config) -> autoencoder.Components:
    """What the autoencoder is built of."""
    rng = np.random.default_rng(derive(config.seed, "components"))
    return autoencoder.principal(captioned(rng, config.clips, config.captions, FRAMES)[0])


def _weights(components: autoencoder.Components) -> Tensor:
    """float32 [128]: share of each channel in the loss, 1 on average over the coordinates; little for places."""
    share = components.deviation / components.deviation.mean()
    return torch.cat([share, torch.full((autoencoder.CHANNELS - len(share),), 0.1)])
