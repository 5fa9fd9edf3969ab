"""Precision and recall per kind of defect, on a store with known verdicts."""

import json
import math
from pathlib import Path

from tests.frames.pictures import encode, folder_of, left, scene
from wmsd_core.filters import FilterConfig, MeasureConfig, decide, measure_frames, score_against
from wmsd_core.frames import FramesConfig, register
from wmsd_core.miniature.pictures import RenderConfig, render


def test_counts_of_a_known_confusion(tmp_path: Path) -> None:
    images, store = tmp_path / "images", tmp_path / "store.duckdb"
    paths = folder_of(images, 4)
    copy = images / "copy.png"
    copy.write_bytes(paths[0].read_bytes())
    (images / "text.png").write_text("no picture")
    register(store, images, FramesConfig())
    truth = dict.fromkeys(paths, "good") | {copy: "duplicate", images / "text.png": "good", paths[3]: "text"}
    scores = {score.defect: score for score in score_against(truth, store)}
    assert (scores["duplicate"].planted, scores["duplicate"].recall, scores["duplicate"].precision) == (1, 1, 1)
    # the file that holds text was called good, and a picture was called text
    assert (scores["text"].planted, scores["text"].recall, scores["text"].precision) == (1, 0, 0)


def test_nothing_accused_has_no_precision(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    path = tmp_path / "images" / "a.png"
    path.write_bytes(encode(scene(1)))
    register(tmp_path / "store.duckdb", tmp_path / "images", FramesConfig())
    score = score_against({path: "blurred"}, tmp_path / "store.duckdb")[0]
    assert score.recall == 0
    assert math.isnan(score.precision)


def test_the_miniature_defects_are_all_found_and_no_good_board_is_lost(tmp_path: Path) -> None:
    images, store = tmp_path / "images", tmp_path / "store.duckdb"
    list(render(images, tmp_path / "truth.json", RenderConfig(n=120, seed=3)))
    truth = {images / name: kind for name, kind in json.loads((tmp_path / "truth.json").read_text()).items()}
    register(store, images, FramesConfig())
    measure_frames(store, left(store, "frames"), MeasureConfig())
    judged = decide(store, MeasureConfig(), FilterConfig())
    scores = score_against(truth, store)
    assert len(scores) == 8
    assert {(score.defect, score.recall, score.precision) for score in scores} == {(s.defect, 1, 1) for s in scores}
    assert judged.kept == list(truth.values()).count("good")
