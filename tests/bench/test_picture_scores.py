from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.bench.synthetic import build
from tests.bench.tiny import FadeGenerator
from wmsd_core import store
from wmsd_core.bench.evaluation import EvaluateConfig, Evaluation
from wmsd_core.bench.generation import generate_videos
from wmsd_core.bench.picture_scores import PicturesScored, picture_scores, score_videos
from wmsd_core.bench.report import write_report
from wmsd_core.bench.scores import outcomes
from wmsd_core.rewards.pickscore import PickScores

EVALUATION = Evaluation(
    config=EvaluateConfig(tasks=6, steps=1, arms=("base", "demonstrator")),
    model="fade-weights",
    adapter="",
    judge="script",
)


class Brightness:
    """A scorer at the outermost edge: the mean grey level of frames, in units of 26."""

    name = "brightness"

    def __init__(self) -> None:
        self.texts: list[str] = []

    def score(self, texts: Sequence[str], videos: np.ndarray) -> PickScores:
        self.texts += texts
        levels = torch.from_numpy(videos).double().mean((2, 3, 4)) / 26
        return PickScores(levels.mean(1), levels[:, 0])


def test_videos_are_scored_once_beside_their_first_frame(tmp_path: Path) -> None:
    path = build(tmp_path, until="generate", frames=24)
    generate_videos(path, tmp_path / "videos", FadeGenerator(), EVALUATION)
    with store.reading(path) as con:
        by_arm = outcomes(con, EVALUATION)
        assert picture_scores(con, by_arm) == []
    lost = Path(by_arm["base"][0].video)
    lost.rename(lost.with_suffix(".away"))
    scorer = Brightness()
    assert score_videos(path, scorer, EVALUATION) == PicturesScored(11, 1)
    lost.with_suffix(".away").rename(lost)
    assert score_videos(path, scorer, EVALUATION) == PicturesScored(1, 0)
    assert score_videos(path, scorer, EVALUATION) == PicturesScored(0, 0)
    assert set(scorer.texts) == {o.item.task for o in by_arm["base"]}  # the short task, also of the Demonstrator
    with store.reading(path) as con:
        base, demonstrator = picture_scores(con, by_arm)
    levels = [float(np.mean(o)) for o in map(_video, by_arm["base"])]
    first = [float(np.mean(o[0])) for o in map(_video, by_arm["base"])]
    assert (base.arm, base.videos, demonstrator.arm) == ("base", 6, "demonstrator")
    assert base.mean == pytest.approx(np.mean(levels)) and base.first == pytest.approx(np.mean(first))
    assert base.difference == pytest.approx(base.mean - base.first)
    assert base.interval.low < base.mean < base.interval.high
    _another_scorer_of_other_videos(path)
    with store.reading(path) as con:
        assert picture_scores(con, by_arm) == [base, demonstrator]
    for name in ("z", "a", "m"):  # whatever they are called, the last that has scored all of them is shown
        scorer.name = name
        assert score_videos(path, scorer, EVALUATION) == PicturesScored(12, 0)
        with store.reading(path) as con:
            assert {found.scorer for found in picture_scores(con, by_arm)} == {name}
    text = write_report(path, tmp_path / "report.html", evaluation=EVALUATION).path.read_text(encoding="utf-8")
    assert "<h4>PickScore</h4>" in text and f"{base.mean:.2f}" in text


def _another_scorer_of_other_videos(path: Path) -> None:
    """Which scorer an evaluation is shown by is no matter of other evaluations."""
    rows = [{"video_id": f"other {n}", "scorer": "another", "score": 1.0, "first": 2.0} for n in range(99)]
    with store.writing(path) as con:
        store.insert(con, "picture_scores", rows)


def _video(outcome: object) -> np.ndarray:
    from wmsd_core.frames import clips

    return clips.read(Path(outcome.video))  # type: ignore[attr-defined]
