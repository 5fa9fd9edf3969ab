"""Recorded videos of the miniature."""

from pathlib import Path

import numpy as np

from wmsd_core.frames import clips
from wmsd_core.miniature.films import FilmConfig, shoot
from wmsd_core.miniature.vlm import MiniatureVLM
from wmsd_core.training.recordings import RecordingConfig, label_recordings


def test_in_each_video_one_thing_moves_and_in_nearly_half_it_comes_to_a_goal(tmp_path: Path) -> None:
    config = FilmConfig(n=230, seed=1)
    assert list(shoot(tmp_path / "films", config)) == list(range(1, 231))
    files = sorted((tmp_path / "films").rglob("*.png"))
    assert len(files) == 230
    for file in files[:20]:
        video = clips.read(file).astype(int)
        assert len(video) == 7 and (np.abs(np.diff(video, axis=0)).max(axis=(1, 2, 3)) > 60).all(), "it never rests"
    list(shoot(tmp_path / "again", config))
    assert {file.name for file in (tmp_path / "again").rglob("*.png")} == {file.name for file in files}
    told = label_recordings(tmp_path / "films", tmp_path / "run", MiniatureVLM(), RecordingConfig(frames=7, fps=8))
    assert told.labelled + told.rejected["refused"] == 230 and 0.35 < told.labelled / 230 < 0.55
