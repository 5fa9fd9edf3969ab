"""Memory, speed and FLOP utilisation of rollout and training of LTX-2: `python -m yardsticks.ltx2_step`.

The real transformer with random weights and a LoRA of rank 64, in the project's own trainer: an 8-step rollout, and a
training step of advantage-weighted matching and anchor, with the distillation reward. Beside what is shipped, in the same
run: settings that trade memory for speed. `as shipped` is measured again at the end, which shows how steady the machine is.

    --size real    19B in bfloat16, 768x512, 121 frames with sound: for a GPU of 80 GB or more. Weights are made there
    --size small   a minute on a core: shows that all runs, and little about a GPU
    --only NAME    these variants only
    --foresee      what `wmsd train --dry-run` says of its memory, and no more: needs no GPU, and two minutes for the real size
    --profile      the operators that take longest in a forward and backward pass of the first variant

Texts and image are random features of the real shapes: encoders are gone when training starts. The step asks no judge and
thus decodes nothing; one decode, by a video autoencoder of random weights, is measured by itself. Utilisation is a share of
what a large matrix product reaches on this machine at the start; blocks that are computed twice count once. Figures are
written after every variant, so that a run that is cut short leaves those it has.
"""

import argparse
import gc
import json
import re
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image as Pictures

from wmsd_core.arrays import Image
from wmsd_core.generators import checkpoints
from wmsd_core.generators.features import Features
from wmsd_core.generators.ltx2 import Ltx2Generator
from wmsd_core.generators.settings import Ltx2Config
from wmsd_core.shapes import Latents
from wmsd_core.training.batch import Batch
from wmsd_core.training.config import TrainConfig
from wmsd_core.training.examples import Example
from wmsd_core.training.footprint import footprint
from wmsd_core.training.loop import Trainer
from wmsd_core.training.passes import latents_per_pass
from wmsd_core.training.process import be_deterministic
from wmsd_core.training.rollout import roll_out
from wmsd_core.training.stopwatch import GIB
from wmsd_core.training.throughput import counted, matmul_rate


@dataclass(frozen=True)
class Size:
    """A model, and the videos that it draws. What is not said is as in the published LTX-2.0."""

    width: int
    height: int
    frames: int
    dtype: str
    text: int
    """Tokens of a text."""
    transformer: dict[str, Any] = field(default_factory=dict)
    vae: dict[str, Any] = field(default_factory=dict)


def _scaled(heads: int, head: int, layers: int) -> dict[str, Any]:
    """A transformer with as much sound beside the video as the real one has."""
    return {
        "num_attention_heads": heads,
        "attention_head_dim": head,
        "cross_attention_dim": heads * head,
        "audio_num_attention_heads": heads,
        "audio_attention_head_dim": head // 2,
        "audio_cross_attention_dim": heads * head // 2,
        "num_layers": layers,
        "caption_channels": heads * head,
    }


_SMALL_VAE = {
    "block_out_channels": (8, 16, 32, 64),
    "decoder_block_out_channels": (8, 16, 32),
    "layers_per_block": (1, 1, 1, 1, 1),
    "decoder_layers_per_block": (1, 1, 1, 1),
}
SIZES = {
    "tiny": Size(64, 64, 9, "float32", 16, _scaled(2, 24, 2), _SMALL_VAE),
    "small": Size(128, 128, 25, "float32", 64, _scaled(6, 64, 2), _SMALL_VAE),
    "real": Size(768, 512, 121, "bfloat16", 1024),
}
TRANSFORMER = {"in_channels": 128, "audio_in_channels": 128, "caption_channels": 3840, "rope_type": "split"}
VAE = {"latent_channels": 128, "decoder_causal": False}
AUDIO = {"sample_rate": 16000, "mel_hop_length": 160, "latent_channels": 8, "mel_bins": 64}
TRAIN = {
    "arm": "anchor_reward",
    "tasks_per_step": 1,
    "group_size": 2,
    "sampler_steps": 8,
    "micro_batch": 4,
    "awm": {"times": 4},
    # Random weights agree with each other more closely than trained ones: all rollouts are to have an advantage.
    "rewards": {"distillation_floor": 1e-30},
}


@dataclass(frozen=True)
class Variant:
    """What differs from what a training run does by itself."""

    name: str
    generator: dict[str, Any] = field(default_factory=dict)
    train: dict[str, Any] = field(default_factory=dict)
    precision: str = "highest"
    """Of matrix products in float32, which are those of the adapters: see torch.set_float32_matmul_precision."""
    deterministic: bool = True
    """Only kernels that give the same bits in every run."""


VARIANTS = (
    Variant("as shipped"),
    Variant("TF32 adapters", precision="high"),
    Variant("any kernels", deterministic=False),
    Variant("both", precision="high", deterministic=False),
    Variant("levels one by one", train={"micro_batch": 1}),
    Variant("float8 storage", {"storage": "float8"}),
    Variant("activations kept", {"activation_checkpointing": False}),
    Variant("as shipped, again"),
)


class RandomLtx2(Ltx2Generator):
    """LTX-2 with weights and features drawn at random, on the device, in the number format in which they are used."""

    text: int

    @classmethod
    def make(cls, size: Size, folder: Path, **changes: Any) -> Any:
        """A Generator. Writes the configurations of the parts to `folder`, since that is what the generator reads."""
        known = {"transformer": TRANSFORMER | size.transformer, "vae": VAE | size.vae, "audio_vae": AUDIO}
        for part in cls.parts:
            (folder / part).mkdir(exist_ok=True)
            (folder / part / "config.json").write_text(json.dumps(known.get(part, {})))
        settings = {name: getattr(size, name) for name in ("width", "height", "frames", "dtype")}
        made = cls(Ltx2Config.model_validate({"weights": str(folder)} | settings | changes))
        made.text = size.text
        return made

    def load_part(self, cls: Any, part: str) -> Any:
        if self.is_hollow:
            return super().load_part(cls, part)
        torch.manual_seed(0)
        torch.set_default_dtype(self.dtype)
        try:
            with self.device:
                return cls(**checkpoints.read_config(self.folder, part))
        finally:
            torch.set_default_dtype(torch.float32)

    def _encode_text(self, text: str) -> Features:
        width = checkpoints.read_config(self.folder, "transformer")["caption_channels"]
        random = torch.Generator().manual_seed(len(text))
        video, audio = torch.randn(2, self.text, width, generator=random).to(self.dtype)
        return {"video": video, "audio": audio, "mask": torch.ones(self.text, dtype=torch.int64)}

    def _encode_image(self, image: Image) -> Features:
        random = torch.Generator().manual_seed(0)
        return {"given": torch.randn(self.given_tokens, self.channels, generator=random)}


class Memory:
    """The most that was held at a time: tensors on a GPU, else all that this process has resident (Linux)."""

    @staticmethod
    def reset() -> None:
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        else:
            Path("/proc/self/clear_refs").write_text("5")

    @staticmethod
    def now() -> float:
        """GiB that tensors hold on a GPU; 0 without one."""
        return torch.cuda.memory_allocated() / GIB

    @staticmethod
    def peak() -> float:
        """In GiB."""
        if torch.cuda.is_available():
            return torch.cuda.max_memory_allocated() / GIB
        status = Path("/proc/self/status").read_text()
        return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) * 1024 / GIB


class Work(NamedTuple):
    """What was done: floating-point operations, and where there are stages, seconds and on a GPU GiB of each."""

    flops: float
    seconds: dict[str, float] = {}  # noqa: RUF012
    memory: dict[str, float] = {}  # noqa: RUF012


@dataclass(frozen=True)
class Measured:
    seconds: float
    """The least of all repetitions."""
    memory: float
    """GiB."""
    utilisation: float
    stages: dict[str, float] = field(default_factory=dict)
    """Seconds of each stage in that repetition."""
    memory_of_stages: dict[str, float] = field(default_factory=dict)
    """GiB, the most that was held during each."""


def measured(run: Callable[[], Work], repeats: int) -> Measured:
    Memory.reset()
    found: list[tuple[float, Work]] = []
    for _ in range(repeats):
        _wait()
        start = time.perf_counter()
        work = run()
        _wait()
        found.append((sum(work.seconds.values()) or time.perf_counter() - start, work))
    seconds, work = min(found, key=lambda one: one[0])
    memory = max(work.memory.values(), default=0.0) or Memory.peak()
    return Measured(seconds, memory, work.flops / seconds / matmul_rate(), work.seconds, work.memory)


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


class Bench:
    """One variant: its generator and its trainer."""

    def __init__(self, variant: Variant, size: Size, folder: Path) -> None:
        be_deterministic(variant.deterministic)
        torch.set_float32_matmul_precision(variant.precision)
        self.generator = RandomLtx2.make(size, folder, **variant.generator)
        image = folder / "image.png"
        Pictures.new("RGB", (size.width, size.height)).save(image)
        examples = [Example(pair_id="0", image=image, task="short", solution="a detailed solution")]
        self.trainer = Trainer(TrainConfig.model_validate(TRAIN | variant.train), self.generator, examples, judge=None)
        batch = self._batch()
        self.one = batch.short.select(batch.rows[:1])
        x, sigma = self._state(), torch.ones(1, device=self.generator.device)
        self.held = Memory.now()
        with torch.no_grad():
            _, self.forward = counted(lambda: self.generator.velocity(x, sigma, self.one, None))
        self._pass()  # what is compiled, chosen or allocated once

    def _batch(self) -> Batch:
        trainer = self.trainer
        return Batch(
            self.generator, trainer.examples, trainer.groups.next(), group_size=trainer.config.group_size, seed=0
        )

    def rollout(self) -> Work:
        trainer, batch = self.trainer, self._batch()
        lesson, most = trainer.config.lesson_at(0), trainer.config.micro_batch
        roll_out(batch, trainer.grid, lesson, compare=False, micro_batch=most)
        return Work(batch.passes.flops(self.forward))

    def step(self) -> Work:
        row = self.trainer.step()
        seconds: dict[str, float] = row["seconds"]
        return Work(row["speed"]["flops_per_second"] * sum(seconds.values()), seconds, row["memory"])

    def decode(self) -> Work:
        self.generator.decode(self._state())
        return Work(0.0)

    def _state(self) -> Latents:
        return self.generator.noise(self.one, [0])

    def _pass(self) -> None:
        sigma = torch.ones(1, device=self.generator.device)
        self.generator.velocity(self._state(), sigma, self.one, "policy").sum().backward()
        self.trainer.optimizer.zero_grad()

    def profile(self) -> str:
        """Of one forward and backward pass of the Executor, on one latent."""
        from torch.profiler import ProfilerActivity, profile

        cuda = torch.cuda.is_available()
        with profile(activities=[ProfilerActivity.CUDA if cuda else ProfilerActivity.CPU]) as found:
            self._pass()
        order = "self_device_time_total" if cuda else "self_cpu_time_total"
        return found.key_averages().table(sort_by=order, row_limit=15, max_name_column_width=60)

    def describe(self) -> dict[str, Any]:
        weights = [w for name, w in self.generator.network.named_parameters() if "lora_" not in name]
        return {
            "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU, one thread",
            "torch": torch.__version__,
            "parameters": sum(weight.numel() for weight in weights),
            "weights_gib": sum(weight.nbytes for weight in weights) / GIB,
            "adapter_parameters": sum(weight.numel() for weight in self.trainer.adapters["policy"].values()),
            "adapters_gib": sum(weight.nbytes for one in self.trainer.adapters.values() for weight in one.values())
            / GIB,
            "moments_gib": sum(
                value.nbytes for state in self.trainer.optimizer.state.values() for value in state.values()
            )
            / GIB,
            "held_before_a_step_gib": self.held,
            "state_gib": self._state().nbytes / GIB,
            "tokens": self.generator.video_tokens + self.generator.audio_tokens,
            "forward_flops": self.forward,
            "matmul_flops_per_second": matmul_rate(),
        }


def bench(variant: Variant, size: Size, folder: Path, repeats: int, *, profile: bool, first: bool) -> dict[str, Any]:
    """All figures of one variant; {"failed": ...} where the memory is not enough."""
    try:
        run = Bench(variant, size, folder)
        found: dict[str, Any] = {"rollout": measured(run.rollout, repeats), "step": measured(run.step, repeats)}
        if first:
            found |= {"about": run.describe(), "profile": run.profile() if profile else ""}
            found["decode"] = measured(run.decode, 1)
        return found
    except torch.OutOfMemoryError as error:
        return {"failed": "out of memory", "reason": str(error)}


def show(name: str, row: dict[str, Any]) -> None:
    if "failed" in row:
        print(f"{name:20}{row['failed']:>12}")
        return
    parts = [f"{m.seconds:>10.2f}{m.memory:>9.2f}{m.utilisation:>8.1%}" for m in (row["rollout"], row["step"])]
    print(f"{name:20}{'   '.join(parts)}", flush=True)


def stages(step: Measured) -> str:
    order = sorted(step.stages.items(), key=lambda item: -item[1])
    return ", ".join(f"{name} {value / step.seconds:.0%}" for name, value in order if value > 0.005 * step.seconds)


def report(
    variants: Sequence[Variant], size: Size, repeats: int, *, profile: bool, done: Callable[[dict[str, Any]], None]
) -> None:
    """Measures one variant after the other; `done` gets all figures so far."""
    rows: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for variant in variants:
            first = not any("about" in row for row in rows.values())
            row = bench(variant, size, Path(folder), repeats, profile=profile, first=first)
            if about := row.get("about"):
                print(
                    f"{about['device']}, torch {about['torch']}: {about['matmul_flops_per_second'] / 1e12:.3g} TFLOP/s in a "
                    f"large matrix product\n{about['parameters'] / 1e9:.3g}B weights ({about['weights_gib']:.3g} GiB), adapter "
                    f"{about['adapter_parameters'] / 1e6:.3g}M; {size.width}x{size.height}, {size.frames} frames: "
                    f"{about['tokens']} tokens, {about['forward_flops'] / 1e12:.3g} TFLOP per forward pass\n"
                    f"{'':20}{'8-step rollout of 2 videos':>27}{'training step':>30}\n"
                    f"{'':20}" + "   ".join(2 * [f"{'seconds':>10}{'GiB':>9}{'of peak':>8}"])
                )
            show(variant.name, row)
            rows[variant.name] = row
            done(rows)
            gc.collect()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
    for name, row in rows.items():
        if "step" in row:
            print(f"step, {name}: {stages(row['step'])}")
        if "decode" in row:
            print(f"decode of one video: {row['decode'].seconds:.2f} s, {row['decode'].memory:.2f} GiB")
        if row.get("profile"):
            print(row["profile"])


def foresee(size: Size) -> None:
    """The memory of a step as it is foreseen, to be held against what a GPU has shown."""
    config = TrainConfig.model_validate(TRAIN)
    with tempfile.TemporaryDirectory() as folder:
        generator = RandomLtx2.make(size, Path(folder), device="cpu")
        count = latents_per_pass(config)
        condition = generator.encode([np.zeros((size.height, size.width, 3), np.uint8)] * count, ["text"] * count)
        found = footprint(generator, condition, rank=config.adapter.rank, alpha=config.adapter.alpha)
    print(
        ", ".join(f"{name} {value / GIB:.2f}" for name, value in found._asdict().items()),
        f"GiB; {count} latents a pass",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--only", nargs="+", choices=[variant.name for variant in VARIANTS], metavar="NAME")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--out", type=Path, help="file for all figures, as JSON")
    parser.add_argument("--foresee", action="store_true")
    asked = parser.parse_args()
    if asked.foresee:
        foresee(SIZES[asked.size])
        return
    variants = [variant for variant in VARIANTS if not asked.only or variant.name in asked.only]

    def write(rows: dict[str, Any]) -> None:
        if asked.out:
            asked.out.write_text(json.dumps({"size": asked.size, "variants": rows}, default=asdict, indent=1) + "\n")

    report(variants, SIZES[asked.size], asked.repeats, profile=asked.profile, done=write)


if __name__ == "__main__":
    main()
