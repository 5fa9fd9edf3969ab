import json
from pathlib import Path

import pytest

from tests.bench.synthetic import build
from tests.bench.tiny import FadeGenerator, ScriptedJudge
from wmsd_core import store
from wmsd_core.bench.evaluation import EvaluateConfig, Evaluation
from wmsd_core.bench.generation import generate_videos
from wmsd_core.bench.judging import judge_videos
from wmsd_core.bench.publishing import as_markdown, lines
from wmsd_core.bench.report import write_report
from wmsd_core.bench.run import load
from wmsd_core.bench.scores import count_verdicts
from wmsd_core.vlm import LogOdds

EVALUATION = Evaluation(
    config=EvaluateConfig(tasks=4, steps=1, arms=("base", "vlm")),
    model="fade-weights",
    adapter="",
    judge="script",
    writer="w",
)
PARTS = {"picture": 0.25, "encoding": 0.5, "sampling": 3.0, "decoding": 1.0, "file": 0.25}


def test_seconds_per_video_are_means_by_part_and_add_up(tmp_path: Path) -> None:
    path = build(tmp_path, until="generate", frames=16)
    with store.writing(path) as con:
        pairs = store.query(con, "SELECT pair_id FROM task_pairs")
        texts = [
            {"item_id": p["pair_id"], "writer": "w", "solution": "so", "reason": "", "seconds": 7.0} for p in pairs
        ]
        store.insert(con, "written_solutions", texts)
    generate_videos(path, tmp_path / "videos", FadeGenerator(), EVALUATION)
    judge_videos(path, ScriptedJudge(lambda question, video: LogOdds(1.0)), EVALUATION)
    with store.writing(path) as con:
        con.execute("UPDATE videos SET seconds = ?", [json.dumps(PARTS)])
        con.execute("UPDATE judgments SET seconds = .125")
        first = store.query(con, "SELECT video_id FROM videos WHERE arm = 'base' ORDER BY video_id")[0]["video_id"]
        con.execute("UPDATE videos SET seconds = ? WHERE video_id = ?", [json.dumps(PARTS | {"sampling": 7.0}), first])
    count_verdicts(path, EVALUATION)
    with store.reading(path) as con:
        run = load(con)
    assert run.seconds["base"] == pytest.approx({"end to end": 6.0, **PARTS, "sampling": 4.0, "judging": 0.375})
    assert run.seconds["vlm"] == pytest.approx({"end to end": 12.0, "text": 7.0, **PARTS, "judging": 0.375})
    text = as_markdown(lines(run, run.evaluation.benchmark), run.evaluation.benchmark, run)
    assert "| seconds per video | end to end | text | picture |" in text and "| Base | 6 | -- | 0.25 |" in text
    page = write_report(path, tmp_path / "report.html", evaluation=EVALUATION).path.read_text(encoding="utf-8")
    assert "<h4>Seconds per video</h4>" in page and "<td>Base + VLM</td>" in page
