"""TensorBoard's own reader finds the curves and the sample video; a run that resumes replaces what it repeats."""

import importlib
import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.training.toy import FRAMES, write_run
from wmsd_core.training.config import TrainConfig
from wmsd_core.training.process import train
from wmsd_core.training.tracking import track

CONFIG = TrainConfig.model_validate(
    {
        "steps": 3,
        "tasks_per_step": 2,
        "group_size": 2,
        "sampler_steps": 2,
        "awm": {"times": 1},
        "adapter": {"rank": 2, "alpha": 4},
        "checkpoint_every": 2,
    }
)


def read(folder: Path) -> Any:
    accumulator: Any = importlib.import_module("tensorboard.backend.event_processing.event_accumulator")
    events = accumulator.EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    return events


def test_tensorboard_shows_every_metric_of_every_step_once_and_a_video_that_moves(tmp_path: Path) -> None:
    write_run(tmp_path, CONFIG)
    answers = iter([False, False])
    stops = iter([True])
    assert not train(tmp_path, stop=lambda: next(stops), report=lambda _: None, tracker="tensorboard")
    # A step that was reported and lost: as after a kill before its checkpoint.
    lost = track("tensorboard", tmp_path, run="r", settings={}, resumed_at=1)
    lost.log(2, {"reward/task": 99.0})
    lost.close()
    assert train(tmp_path, stop=lambda: next(answers), report=lambda _: None, tracker="tensorboard")
    events = read(tmp_path)
    tags = events.Tags()
    assert {"reward/task", "anchor", "anchor_by_level/0", "seconds/backward", "speed/utilisation"} <= set(
        tags["scalars"]
    )
    values = {event.step: event.value for event in events.Scalars("reward/task")}
    assert sorted(values) == [1, 2, 3] and 99.0 not in values.values()
    assert sorted(path.name for path in (tmp_path / "samples").iterdir()) == [
        f"step-{step:08d}.gif" for step in (1, 2, 3)
    ]
    (tag,) = tags["images"]
    with Image.open(io.BytesIO(events.Images(tag)[-1].encoded_image_string)) as video:
        assert video.format == "GIF" and 1 < video.n_frames <= FRAMES  # equal frames are written once


@pytest.mark.parametrize("name", ["wandb", "trackio"])
def test_a_tracker_that_is_not_installed_is_named_with_the_cure(tmp_path: Path, name: Any) -> None:
    if importlib.util.find_spec(name):  # pyright: ignore[reportAttributeAccessIssue]
        pytest.skip(f"{name} is installed")
    with pytest.raises(ValueError, match=f"pip install {name}"):
        track(name, tmp_path, run="r", settings={}, resumed_at=0)
