"""Making the benchmark's videos: every arm of an item from the same noise.

Each video is made alone. In a batch, sums run in another order, and a grey level of some pixel differs with what else is in it:
a video that was made again after a kill, or on a machine with room for more at once, would be another one.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from wmsd_core import store
from wmsd_core.arrays import Image, Video
from wmsd_core.bench.benchmark import Arm, Item
from wmsd_core.bench.clock import Clock
from wmsd_core.bench.evaluation import Evaluation, video_id
from wmsd_core.bench.missing import Generated, missing
from wmsd_core.frames import Refusal, clips
from wmsd_core.frames.decode import rgb
from wmsd_core.generators import Adapter, Generator
from wmsd_core.sampling.ode import sample
from wmsd_core.vlm.stream import gathered


def generate_videos(path: Path, videos: Path, generator: Generator, evaluation: Evaluation) -> Generated:
    """Makes the missing videos of an evaluation; those that exist with their file intact are left alone.

    Args:
        path: the store.
        videos: folder for the files, which are named by their content.
        generator: with the adapter `evaluation.adapter` resident as "ema" if the executor is among the arms.
        evaluation: items, arms, seed and sampler.

    Raises:
        ValueError: the generator is not the model of the evaluation, or the executor has no adapter.
    """
    config = evaluation.config
    if generator.checksum != evaluation.model:
        raise ValueError(f"the evaluation is of model {evaluation.model}, the generator given is {generator.checksum}")
    if "executor" in config.arms and not evaluation.adapter:
        raise ValueError("the executor needs a trained adapter: train first, or leave it out of `arms`")
    made = found = skipped = 0
    for arm in config.arms:
        todo = missing(path, evaluation, arm)
        found += len(todo.told) - len(todo.items)
        skipped += todo.untold
        lost = len(todo.items)
        for files in gathered(_made(generator, todo.items, arm, evaluation, videos)):
            _record(path, arm, evaluation, files)
            made += len(files)
            lost -= len(files)
        skipped += lost
    return Generated(made, found, skipped)


@dataclass(frozen=True)
class _File:
    """A video that has just been made."""

    item: Item
    path: Path
    sha256: str
    seconds: dict[str, float]
    """Part of the making -> wall time."""


def _made(
    generator: Generator, items: Sequence[Item], arm: Arm, evaluation: Evaluation, folder: Path
) -> Iterator[_File]:
    """Videos of those items whose picture is there."""
    for item in items:
        clock = Clock()
        picture = _picture(item)
        if picture is None:
            continue
        clock.book("picture")
        video = _sample(generator, item, picture, arm, evaluation, clock)
        path, sha256 = clips.write(video, folder)
        clock.book("file")
        yield _File(item, path, sha256, clock.seconds)


def _picture(item: Item) -> Image | None:
    try:
        return rgb(item.frame, longest=max(item.frame.width, item.frame.height))
    except Refusal:
        return None


@torch.no_grad()
def _sample(generator: Generator, item: Item, picture: Image, arm: Arm, evaluation: Evaluation, clock: Clock) -> Video:
    adapter: Adapter | None = "ema" if arm == "executor" else None
    condition = generator.encode(picture[None], [evaluation.benchmark.text(item, arm)])
    clock.book("encoding")
    noise = generator.noise(condition, [item.seed(evaluation.config.seed)])
    x_0 = sample(
        lambda x, sigma: generator.velocity(x, sigma, condition, adapter),
        noise,
        generator.grid(evaluation.config.steps),
        generator.active_mask(condition),
    )
    clock.book("sampling")
    video = generator.decode(x_0)[0]
    clock.book("decoding")
    return video


def _record(path: Path, arm: Arm, evaluation: Evaluation, files: Sequence[_File]) -> None:
    rows = [
        {
            "video_id": video_id(file.item, arm, evaluation),
            "benchmark": evaluation.benchmark.name,
            "item_id": file.item.item_id,
            "arm": arm,
            "model": evaluation.model,
            "adapter": evaluation.adapter_of(arm),
            "seed": file.item.seed(evaluation.config.seed),
            "sampler": evaluation.config.sampler,
            "path": str(file.path),
            "sha256": file.sha256,
            "seconds": json.dumps(file.seconds),
        }
        for file in files
    ]
    with store.writing(path) as con:
        # A video that is made again (its file was lost) may differ in a bit: verdicts on the old one are not its own.
        con.execute(
            "DELETE FROM judgments WHERE list_contains($made, video_id)", {"made": [row["video_id"] for row in rows]}
        )
        con.execute("DELETE FROM picture_scores WHERE list_contains(?, video_id)", [[row["video_id"] for row in rows]])
        store.insert(con, "videos", rows, replace=True)
