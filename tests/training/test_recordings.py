"""Recorded videos with a task named for each: what is written, what is refused, and that it can be trained on."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.frames.clips import FPS, write_video
from tests.miniature.boards import solved
from wmsd_core.frames import clips
from wmsd_core.frames.refusal import Refusal
from wmsd_core.frames.videos import beginning
from wmsd_core.miniature.generator import MiniatureGenerator
from wmsd_core.miniature.vlm import MiniatureVLM
from wmsd_core.training.config import TrainConfig
from wmsd_core.training.examples import load_examples
from wmsd_core.training.loop import Trainer
from wmsd_core.training.recordings import Recorded, RecordingConfig, label_recordings

CONFIG = RecordingConfig(frames=7, fps=8)


class Forgetful(MiniatureVLM):
    """Fails to answer as long as it is told to."""

    failing = True

    def complete(self, messages, schema, *, seed):
        if self.failing:
            raise ValueError("no answer today")
        return super().complete(messages, schema, seed=seed)


def recorded(folder: Path, videos: np.ndarray) -> Path:
    """A folder of these videos, a still one and one that is too short."""
    folder = folder / "videos"
    for video in (*videos, np.stack([videos[0][0]] * 7), videos[1][:3]):
        clips.write(video, folder)
    return folder


def test_videos_get_the_task_that_they_show_and_train_the_executor(tmp_path: Path) -> None:
    _, plans, _, _, videos = solved(4, seed=7)
    folder, out = recorded(tmp_path, videos), tmp_path / "run"
    vlm = Forgetful()
    assert label_recordings(folder, out, vlm, CONFIG) == Recorded(0, 0, {"unanswered": 5, "too_short": 1})
    vlm.failing = False
    assert label_recordings(folder, out, vlm, CONFIG) == Recorded(4, 1, {"refused": 1})
    assert label_recordings(folder, out, vlm, CONFIG) == Recorded(0, 6, {})

    examples = load_examples(out / "examples.jsonl")
    shown = {clips.read(example.video).tobytes(): example.task for example in examples if example.video}
    assert shown == {video.tobytes(): str(plan.task) for video, plan in zip(videos, plans, strict=True)}
    rejected = [json.loads(line)["reason"] for line in (out / "rejections.jsonl").read_text().splitlines()]
    assert sorted(rejected) == ["refused", "too_short"]

    config = TrainConfig.model_validate(
        {"arm": "sft", "tasks_per_step": 4, "group_size": 1, "adapter": {"rank": 4, "alpha": 8}, "steps": 12}
        | {"optimizer": {"learning_rate": 4e-3}, "sft": {"times": 4}}
    )
    run = Trainer(config, MiniatureGenerator.load(), examples, None)
    losses = [run.step()["sft"] for _ in range(12)]
    assert np.mean(losses[-3:]) < 0.9 * np.mean(losses[:3])


def test_what_a_kill_left_of_a_line_is_made_again(tmp_path: Path) -> None:
    folder, out = recorded(tmp_path, solved(4, seed=7)[4]), tmp_path / "run"
    label_recordings(folder, out, MiniatureVLM(), CONFIG)
    whole = {name: (out / name).read_text() for name in ("examples.jsonl", "sources.jsonl", "rejections.jsonl")}
    cuts = [
        {name: text[:-9] for name, text in whole.items()},  # half a line each
        {"sources.jsonl": "".join(whole["sources.jsonl"].splitlines(keepends=True)[:-1])},  # killed between the two
    ]
    for cut in cuts:
        for name, text in cut.items():
            (out / name).write_text(text)
        label_recordings(folder, out, MiniatureVLM(), CONFIG)
        found = {name: (out / name).read_text() for name in whole}
        assert found["sources.jsonl"] == whole["sources.jsonl"] and found["examples.jsonl"] == whole["examples.jsonl"]
        assert len(found["rejections.jsonl"].splitlines()) == len(whole["rejections.jsonl"].splitlines())


def test_a_clip_begins_with_the_video_and_has_its_own_rate(tmp_path: Path) -> None:
    frames = [np.full((48, 64, 3), 12 * k, np.uint8) for k in range(20)]
    write_video(tmp_path / "ramp.mp4", frames)
    clip = beginning(tmp_path / "ramp.mp4", frames=4, fps=FPS / 3)
    assert clip.shape == (4, 48, 64, 3)
    assert np.abs(clip.mean((1, 2, 3)) - [0, 36, 72, 108]).max() < 6
    with pytest.raises(Refusal, match="too_short"):
        beginning(tmp_path / "ramp.mp4", frames=30, fps=FPS)


def test_a_folder_without_videos_says_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"\.mp4"):
        label_recordings(tmp_path, tmp_path / "run", MiniatureVLM(), CONFIG)
