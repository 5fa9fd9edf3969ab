"""Recorded videos: filmed, labelled, learned from and measured like any other arm."""

import shutil
from pathlib import Path

import pytest

from flows.evaluate import evaluate
from flows.miniature import film
from flows.recordings import label_videos
from flows.train import train
from tests.flows.test_pipeline import SMALL
from tests.miniature.tasks import with_tasks
from wmsd_core import overrides
from wmsd_core.miniature.films import FilmConfig
from wmsd_core.training.examples import load_examples
from wmsd_core.workspace import Workspace

pytestmark = pytest.mark.usefixtures("server")


def test_recordings_train_an_executor_that_is_measured_in_the_workspace(tmp_path: Path) -> None:
    place, recordings = with_tasks(Workspace(tmp_path / "workspace")), tmp_path / "recordings"
    recipe = overrides.apply(
        SMALL, ["train.arm=sft", "recordings.frames=7", "recordings.fps=8", "evaluate.arms=[executor]"]
    )
    assert film(tmp_path / "films", FilmConfig(n=40))["videos"] == 40
    told = label_videos(tmp_path / "films", recordings, recipe.recordings, recipe.train, recipe.models)
    assert told["labelled"] == len(load_examples(recordings / "examples.jsonl")) > 8
    with pytest.raises(ValueError, match=r"learns from recorded videos.*train\.recordings=FOLDER"):
        train(place.root, recipe.train, recipe.models)
    with pytest.raises(ValueError, match=r"there is no labelled recording in .*examples\.jsonl.*label-videos"):
        train(place.root, recipe.train.model_copy(update={"recordings": tmp_path / "films"}), recipe.models)

    chosen = recipe.train.model_copy(update={"recordings": recordings})
    first = train(place.root, chosen, recipe.models)
    assert (first["trained"], first["examples"]) == ("now", told["labelled"])
    measured = evaluate(place.root, recipe.evaluate, chosen, recipe.models)
    assert 0 <= measured["averages"]["executor"] <= 1

    shutil.move(recordings, tmp_path / "elsewhere")
    moved = recipe.train.model_copy(update={"recordings": tmp_path / "elsewhere"})
    again = train(place.root, moved, recipe.models)
    assert (again["trained"], again["adapter"]) == ("before", first["adapter"]), "what counts is what they show"
