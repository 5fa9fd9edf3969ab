"""PickScore through the flow, by a CLIP of random weights on disk, and out again by `publish` in every form."""

import csv
import re
from pathlib import Path

import numpy as np
import pytest

from flows.evaluate import evaluate
from tests.bench.synthetic import build
from tests.bench.tiny import ScriptedJudge
from tests.rewards.test_pickscore import random_clip
from wmsd_core import store
from wmsd_core.bench.evaluation import EvaluateConfig
from wmsd_core.bench.publishing import publish
from wmsd_core.bench.run import load
from wmsd_core.bench.scores import outcomes
from wmsd_core.frames import clips
from wmsd_core.models import ModelsConfig
from wmsd_core.rewards.pickscore import PickScore
from wmsd_core.rewards.published import SCALE
from wmsd_core.vlm import LogOdds
from wmsd_core.workspace import Workspace

pytestmark = pytest.mark.usefixtures("server")

CONFIG = EvaluateConfig(tasks=6, steps=2, arms=("base", "demonstrator"), controls=0, pickscore=True)
CELL = r"(-?[\d.]+) \[(-?[\d.]+), (-?[\d.]+)\]"


def judge() -> ScriptedJudge:
    return ScriptedJudge(lambda question, video: LogOdds(1.0), name="test judge")


def models(clip: Path) -> ModelsConfig:
    return ModelsConfig(
        generator="tests.bench.tiny:FadeGenerator",
        judge=f"{__name__}:judge",
        pickscore=str(clip),
        pickscore_processor=str(clip),
    )


def test_pickscore_goes_through_the_flow_and_out_in_every_form(tmp_path: Path) -> None:
    clip = random_clip(tmp_path / "clip")
    build(tmp_path, until="generate", frames=24)
    summary = evaluate(tmp_path, CONFIG, models=models(clip))
    assert summary["pickscore"] == {"scored": 12, "unread": 0}
    assert evaluate(tmp_path, CONFIG, models=models(clip))["pickscore"] == {"scored": 0, "unread": 0}
    with store.reading(Workspace(tmp_path).store) as con:
        run = load(con, summary["evaluation_id"])
        by_arm = outcomes(con, run.evaluation)
    scorer = PickScore(str(clip), str(clip))
    for arm, found in by_arm.items():
        told = run.picture_scores[arm]
        assert told.scorer == scorer.name
        for outcome, score, first in zip(found, told.score, told.first, strict=True):
            direct = scorer.score([outcome.item.task], clips.read(Path(outcome.video))[None])
            assert (score, first) == (
                pytest.approx(SCALE * float(direct.video[0]), rel=1e-5),
                pytest.approx(SCALE * float(direct.first[0]), rel=1e-5),
            )
            assert score != first  # the videos move

    publish(run, run.evaluation.benchmark, tmp_path / "out")
    assert load_file(tmp_path / "out" / "run.json").picture_scores == run.picture_scores
    rows = {(row["method"], row["measure"]): row for row in csv.DictReader((tmp_path / "out" / "scores.csv").open())}
    markdown = (tmp_path / "out" / "scores.md").read_text()
    latex = (tmp_path / "out" / "scores.tex").read_text()
    assert "| PickScore | mean over frames | first frame alone | difference | videos |" in markdown
    assert f"PickScore by {scorer.name}, for the short task" in markdown and latex.count(r"\begin{tabular}") == 2
    assert latex.count("{") == latex.count("}")
    for arm, title in (("base", "Base"), ("demonstrator", "Demonstrator")):
        scores, first = np.array(run.picture_scores[arm].score), np.array(run.picture_scores[arm].first)
        figures = {"pickscore": scores, "pickscore of the first frame": first, "pickscore, difference": scores - first}
        for measure, values in figures.items():
            assert float(rows[title, measure]["score"]) == pytest.approx(values.mean(), abs=1e-9)
            assert (rows[title, measure]["valid"], rows[title, measure]["expected"]) == ("6", "6")
        shown = re.search(rf"\| {title} \| {CELL} \| ([\d.]+) \| ([+-][\d.]+) \[.*\] \| 6 / 6 \|", markdown)
        assert shown and [shown[1], shown[4], shown[5]] == [
            f"{scores.mean():.2f}",
            f"{first.mean():.2f}",
            f"{scores.mean() - first.mean():+.2f}",
        ]
        assert [shown[2], shown[3]] == [f"{float(rows[title, 'pickscore'][end]):.2f}" for end in ("low", "high")]
        assert f"{title} & {shown[1]} {{\\scriptsize [{shown[2]}, {shown[3]}]}} & {shown[4]} & {shown[5]} " in latex


def load_file(path: Path):
    with store.reading(Workspace(path.parents[1]).store) as con:
        return load(con, str(path))


def test_a_scorer_that_is_not_there_is_told_before_anything_is_made(tmp_path: Path) -> None:
    path = build(tmp_path, until="generate", frames=24)
    with pytest.raises(ValueError, match=r"PickScore cannot be loaded .*or do without: .*evaluate\.pickscore=false"):
        evaluate(tmp_path, CONFIG, models=models(tmp_path / "nothing"))
    with store.reading(path) as con:
        assert store.query(con, "SELECT 1 FROM videos") == []
