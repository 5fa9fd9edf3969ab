"""Making the benchmark's videos: every arm of an item from the same noise, one batch and one transaction at a time."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
import torch

from wmsd_core import store
from wmsd_core.arrays import Image, Videos
from wmsd_core.bench.benchmark import Arm, Item
from wmsd_core.bench.evaluation import Evaluation, items_of, video_id
from wmsd_core.frames import Refusal, clips
from wmsd_core.frames.decode import rgb
from wmsd_core.generators import Adapter, Generator
from wmsd_core.sampling.ode import sample


@dataclass(frozen=True)
class Generated:
    """What a run of `generate_videos` did."""

    made: int
    found: int
    """Videos that existed with their file intact."""
    skipped: int
    """Videos not made because the picture's file is gone or damaged, or the text of the arm vlm was not written; the score
    counts them as not judged."""


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
        todo = _missing(path, evaluation, arm)
        found += len(todo.items) - len(todo.missing)
        skipped += todo.untold
        for batch in _batches(todo.missing, config.batch):
            pictures = {item: picture for item in batch if (picture := _picture(item)) is not None}
            skipped += len(batch) - len(pictures)
            if pictures:
                sampled = _sample(generator, pictures, arm, evaluation)
                files = [clips.write(video, videos) for video in sampled]
                _record(path, list(pictures), arm, evaluation, files)
                made += len(files)
    return Generated(made, found, skipped)


@dataclass(frozen=True)
class _Todo:
    items: list[Item]
    missing: list[Item]
    untold: int
    """Items for which nobody has written a text."""


def _missing(path: Path, evaluation: Evaluation, arm: Arm) -> _Todo:
    with store.reading(path) as con:
        items = items_of(con, evaluation.config, writer=evaluation.writer)
        known = {row["video_id"]: row for row in store.query(con, "SELECT video_id, path, sha256 FROM videos")}
    told = [item for item in items if evaluation.benchmark.text(item, arm)]
    missing: list[Item] = []
    for item in told:
        row = known.get(video_id(item, arm, evaluation))
        if row is None or not clips.intact(Path(row["path"]), row["sha256"]):
            missing.append(item)
    return _Todo(told, missing, len(items) - len(told))


def _batches(items: list[Item], size: int) -> Iterator[list[Item]]:
    """Batches of pictures of one size, as an array has only one."""

    def shape(item: Item) -> tuple[int, int]:
        return item.frame.height, item.frame.width

    for _, same in groupby(sorted(items, key=shape), key=shape):  # sorted is stable: the draw's order within a size
        group = list(same)
        yield from (group[start : start + size] for start in range(0, len(group), size))


def _picture(item: Item) -> Image | None:
    try:
        return rgb(item.frame, longest=max(item.frame.width, item.frame.height))
    except Refusal:
        return None


@torch.no_grad()
def _sample(generator: Generator, pictures: dict[Item, Image], arm: Arm, evaluation: Evaluation) -> Videos:
    adapter: Adapter | None = "ema" if arm == "executor" else None
    condition = generator.encode(
        np.stack(list(pictures.values())), [evaluation.benchmark.text(item, arm) for item in pictures]
    )
    noise = generator.noise(condition, [item.seed(evaluation.config.seed) for item in pictures])
    x_0 = sample(
        lambda x, sigma: generator.velocity(x, sigma, condition, adapter),
        noise,
        generator.grid(evaluation.config.steps),
        generator.active_mask(condition),
    )
    return generator.decode(x_0)


def _record(path: Path, batch: list[Item], arm: Arm, evaluation: Evaluation, files: list[tuple[Path, str]]) -> None:
    rows = [
        {
            "video_id": video_id(item, arm, evaluation),
            "benchmark": evaluation.benchmark.name,
            "item_id": item.item_id,
            "arm": arm,
            "model": evaluation.model,
            "adapter": evaluation.adapter_of(arm),
            "seed": item.seed(evaluation.config.seed),
            "sampler": evaluation.config.sampler,
            "path": str(file),
            "sha256": sha256,
        }
        for item, (file, sha256) in zip(batch, files, strict=True)
    ]
    with store.writing(path) as con:
        # A video that is made again (its file was lost) may differ in a bit: verdicts on the old one are not its own.
        con.execute(
            "DELETE FROM judgments WHERE list_contains($made, video_id)", {"made": [row["video_id"] for row in rows]}
        )
        store.insert(con, "videos", rows, replace=True)
