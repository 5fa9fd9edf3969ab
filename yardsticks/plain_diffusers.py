"""Draws a benchmark's videos in plain diffusers, with the adapter that a run of recipe miniature-ltx2 delivered.

    wmsd evaluate --recipe miniature-ltx2 --workspace W
    python -m yardsticks.plain_diffusers W W/training/RUN/adapter clips
    wmsd judge --recipe miniature-ltx2 --workspace W --videos clips

The adapter is loaded by `load_lora_weights`, and each video drawn by LTX2ImageToVideoPipeline from the noise of the last
evaluation, sound included, as lossless FFV1. `wmsd judge` then scores them as clips of any model: the scores should be those
of the Executor.
"""

import argparse
from pathlib import Path

import av
import numpy as np
import torch
from diffusers.pipelines.ltx2.pipeline_ltx2_image2video import LTX2ImageToVideoPipeline
from PIL import Image

from wmsd_core import store
from wmsd_core.bench.benchmark import Item
from wmsd_core.bench.evaluation import items_of
from wmsd_core.bench.run import load
from wmsd_core.frames.decode import rgb
from wmsd_core.miniature.ltx2_settings import FRAMES, SIDE, TEXT_LENGTH
from wmsd_core.workspace import Workspace

FPS = 24


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workspace", type=Path)
    parser.add_argument("adapter", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--weights", type=Path, default=Path("miniature-ltx2"), help="folder of the pipeline")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with store.reading(Workspace(arguments.workspace).store) as con:
        config = load(con).evaluation.config
        items = items_of(con, config)
    pipeline = LTX2ImageToVideoPipeline.from_pretrained(arguments.weights, local_files_only=True)
    pipeline.load_lora_weights(arguments.adapter)
    pipeline.set_progress_bar_config(disable=True)
    arguments.out.mkdir(parents=True, exist_ok=True)
    for item in items:
        file = arguments.out / f"{item.item_id}.mkv"
        if not file.exists():
            write(drawn(pipeline, item, steps=config.steps, seed=item.seed(config.seed)), file)


def drawn(pipeline: LTX2ImageToVideoPipeline, item: Item, *, steps: int, seed: int) -> np.ndarray:
    """uint8 [T, H, W, 3], without guidance, as the recipe has it."""
    video = pipeline(
        image=Image.fromarray(rgb(item.frame, longest=max(item.frame.width, item.frame.height))),
        prompt=item.task,
        height=SIDE,
        width=SIDE,
        num_frames=FRAMES,
        num_inference_steps=steps,
        max_sequence_length=TEXT_LENGTH,
        generator=torch.Generator().manual_seed(seed),
        guidance_scale=1.0,
        stg_scale=0.0,
        modality_scale=1.0,
        guidance_rescale=0.0,
        audio_guidance_scale=1.0,
        audio_stg_scale=0.0,
        audio_modality_scale=1.0,
        audio_guidance_rescale=0.0,
        image_crf=0,
        output_type="np",
        return_dict=False,
    )[0][0]
    return np.round(video * 255).astype(np.uint8)


def write(video: np.ndarray, file: Path) -> None:
    partial = file.with_suffix(".partial.mkv")
    with av.open(str(partial), "w") as container:
        stream = container.add_stream("ffv1", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = video.shape[2], video.shape[1], "bgr0"
        for picture in video:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    partial.rename(file)


if __name__ == "__main__":
    main()
