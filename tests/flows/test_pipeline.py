"""The whole pipeline, small, through a real Prefect server: what runs, what is not repeated, what a person can read."""

import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL

from flows.filter import filter_frames
from flows.generate import generate
from flows.pipeline import pipeline
from flows.rank import rank
from flows.train import train
from tasks.plan import plan
from tasks.process import ProcessFailed
from tasks.train import train as training
from tests.flows.kill import content
from wmsd_core import overrides, store
from wmsd_core.miniature.pictures import RenderConfig
from wmsd_core.recipe import Recipe
from wmsd_core.store import reading
from wmsd_core.store.overview import stages
from wmsd_core.training import launch
from wmsd_core.training.launch import LaunchConfig
from wmsd_core.workspace import Workspace

pytestmark = pytest.mark.usefixtures("server")

PAGES = "http://127.0.0.1:4201"
SMALL = overrides.apply(
    Recipe(render=RenderConfig(n=60)),
    [
        "train.steps=3",
        "train.tasks_per_step=4",
        "train.group_size=2",
        "train.sampler_steps=2",
        "train.awm.times=1",
        "train.adapter.rank=4",
        "train.checkpoint_every=1",
        "evaluate.tasks=12",
        "evaluate.steps=2",
        "split.bench_fraction=0.3",
    ],
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, dict[str, Any], dict[str, list[Any]]]:
    place = Workspace(tmp_path_factory.mktemp("workspace")).prepare()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WMSD_PAGES", PAGES)
        patch.setenv("WMSD_WORKSPACE", str(place.root))
        summary = pipeline(place.root, SMALL)
    return place, summary, content(place)


def task_states() -> list[tuple[str, str]]:
    """(task, state) of every task run that the server knows, oldest first."""
    with get_client(sync_client=True) as client:
        runs = client.read_task_runs(limit=200)
    runs.sort(key=lambda run: run.created or run.expected_start_time)  # pyright: ignore[reportArgumentType]
    return [(run.name.rsplit("-", 1)[0], run.state_name or "") for run in runs]


def test_every_stage_leaves_its_rows(finished: tuple[Workspace, dict[str, Any], dict[str, list[Any]]]) -> None:
    place, summary, rows = finished
    assert len(rows["frames"]) + sum(row[0] == "frames" and row[1] == row[4] for row in rows["rejections"]) == 60
    assert len(rows["task_pairs"]) == len(rows["taxonomy"]) > 200
    assert len(rows["videos"]) == 3 * 12
    with store.reading(place.store) as con:
        asked = {
            row["control"]: row["n"]
            for row in store.query(con, "SELECT control, count(*) AS n FROM judgments GROUP BY ALL")
        }
    assert asked.pop("") == 3 * 3 * 12 and len(asked) >= 3, (
        "each video is judged by three questions, and so is a sample of controls"
    )
    assert {row[0] for row in rows["stage_runs"]} == {
        *("render", "filter", "dedup", "rank", "screen", "generate", "train", "evaluate", "report"),
    }
    assert summary["report"] == str(place.report) and place.report.stat().st_size > 50_000
    assert [row[6] for row in rows["training_runs"]] == ["finished"]


def test_a_second_run_changes_no_row_and_repeats_no_work(
    finished: tuple[Workspace, dict[str, Any], dict[str, list[Any]]],
) -> None:
    place, _, rows = finished
    before = len(task_states())
    assert pipeline(place.root, SMALL)["new"] == "nothing, everything was up to date"
    assert content(place) == rows
    states = task_states()[before:]
    cached = {name for name, state in states if state == "Cached"}
    assert {"measure", "sign", "score", "screen", "generate pairs", "train"} <= cached


def test_a_second_run_needs_neither_torch_nor_what_draws_and_waits_for_no_heartbeat(
    finished: tuple[Workspace, dict[str, Any], dict[str, list[Any]]],
) -> None:
    code = f"""
        import sys
        from pathlib import Path
        from prefect import flow_engine
        from flows.pipeline import pipeline
        from tests.flows.test_pipeline import SMALL
        beating, real = [], flow_engine._send_heartbeats
        def counted(engine, *options):
            if engine.heartbeat_seconds is not None:
                beating.append(engine.flow.name)
            return real(engine, *options)
        flow_engine._send_heartbeats = counted
        new = pipeline(Path({str(finished[0].root)!r}), SMALL)["new"]
        read = [name for name in ("torch", "matplotlib", "transformers") if name in sys.modules]
        print(new, read, beating, sep="|")
    """
    environment = os.environ | {"PREFECT_API_URL": PREFECT_API_URL.value()}
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env=environment,
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
    )
    assert run.stdout.split("|") == ["nothing, everything was up to date", "[]", "['pipeline']\n"], run.stderr


def test_what_is_remembered_as_done_counts_only_where_its_rows_are(
    finished: tuple[Workspace, dict[str, Any], dict[str, list[Any]]], tmp_path: Path
) -> None:
    place, _, rows = finished
    copy = Workspace(tmp_path / "copy")
    shutil.copytree(place.root, copy.root)  # Prefect's memory knows the id of its store
    lost = ("measurements", "signatures", "aesthetics", "screenings", "task_pairs", "rejected_pairs", "training_steps")
    with store.writing(copy.store) as con:
        for table in lost:
            con.execute(f"DELETE FROM {table}")
    assert pipeline(copy.root, SMALL)["new"] != "nothing, everything was up to date"
    found = content(copy)
    assert {table: found[table] for table in lost} == {table: rows[table] for table in lost}


def test_a_threshold_alone_starts_no_work(
    finished: tuple[Workspace, dict[str, Any], dict[str, list[Any]]],
) -> None:
    place, _, rows = finished
    before = len(task_states())
    summary = filter_frames(place.root, None, SMALL.scan, SMALL.measure, SMALL.filter)
    assert (summary["measured"], summary["measured_before"]) == (0, len(rows["measurements"]))
    assert task_states()[before:] == [("filter verdicts", "Completed")]


def test_a_new_threshold_reads_no_image_and_acts(
    finished: tuple[Workspace, dict[str, Any], dict[str, list[Any]]],
) -> None:
    place, _, rows = finished
    harsh = SMALL.filter.model_copy(update={"min_sharpness": 1e6})
    summary = filter_frames(place.root, [str(place.frames)], SMALL.scan, SMALL.measure, harsh)
    assert summary["kept"] == 0 and summary["dropped"] > 40
    changed = content(place)
    assert changed["measurements"] == rows["measurements"]
    with reading(place.store) as con:
        assert "nothing is kept" in {run["stage"]: run["caution"] for run in stages(con)}["filter"]
    again = filter_frames(place.root, [str(place.frames)], SMALL.scan, SMALL.measure, SMALL.filter)
    assert again["kept"] > 40
    assert content(place)["rejections"] == rows["rejections"]


def reasons(place: Workspace, recipe: Recipe) -> dict[str, str]:
    """Stage -> why the pipeline would find it other than it was."""
    return {row["stage"]: row["because"] for row in plan(place.root, recipe)}


def test_a_plan_before_the_first_run_makes_nothing(tmp_path: Path) -> None:
    rows = plan(tmp_path / "new", SMALL)
    assert (rows[0]["stage"], rows[0]["to_do"]) == ("render", "60 pictures to render")
    assert {row["because"] for row in rows} == {"it has not run yet"} and len(rows) == 9
    assert not (tmp_path / "new").exists()
    assert next(row["stage"] for row in plan(tmp_path / "new", SMALL, ["/pictures"])) == "filter"


def test_a_plan_says_what_is_left_and_why(
    finished: tuple[Workspace, dict[str, Any], dict[str, list[Any]]], tmp_path: Path
) -> None:
    place, _, rows = finished
    assert set(reasons(place, SMALL).values()) == {"up to date"}
    assert content(place) == rows

    longer = overrides.apply(SMALL, ["train.steps=5", "rank.keep_fraction=0.5"])
    told = {row["stage"]: row for row in plan(place.root, longer)}
    assert told["dedup"]["because"] == "up to date" and told["rank"]["because"] == "its settings have changed"
    assert told["screen"]["because"] == "a stage before it changes"
    assert told["train"]["to_do"] == "2 steps to train"
    assert told["train"]["expected_s"] > 0 and "not finished" not in told["train"]["because"]
    assert "there is no finished training run" not in told["evaluate"]["because"], "what comes first is told first"

    copy = Workspace(tmp_path / "copy")
    shutil.copytree(place.root, copy.root)
    with store.writing(copy.store) as con:
        con.execute(
            "DELETE FROM measurements WHERE frame_id IN (SELECT frame_id FROM measurements ORDER BY ALL LIMIT 2)"
        )
        con.execute("DELETE FROM videos WHERE video_id IN (SELECT video_id FROM videos ORDER BY ALL LIMIT 3)")
    told = {row["stage"]: row for row in plan(copy.root, SMALL)}
    assert told["filter"]["to_do"].startswith("2 frames to measure")
    assert told["filter"]["because"] == "something is missing"
    assert told["evaluate"]["to_do"].startswith("3 videos to make")


def test_stages_that_had_other_frames_are_named_when_a_threshold_changes(
    finished: tuple[Workspace, dict[str, Any], dict[str, list[Any]]],
) -> None:
    place, _, rows = finished
    with store.reading(place.store) as con:
        (sharp,) = con.execute("SELECT quantile_cont(sharpness, 0.5) FROM measurements").fetchall()[0]
    harsher = SMALL.filter.model_copy(update={"min_sharpness": sharp})
    summary = filter_frames(place.root, None, SMALL.scan, SMALL.measure, harsher)
    assert summary["outdated"].startswith("dedup, rank, screen, generate had other frames")
    changed = SMALL.model_copy(update={"filter": harsher})
    assert reasons(place, changed)["dedup"] == "it was given other frames"
    assert reasons(place, SMALL)["filter"] == "its settings have changed"
    assert "outdated" not in filter_frames(place.root, None, SMALL.scan, SMALL.measure, SMALL.filter)
    assert content(place) == rows and set(reasons(place, SMALL).values()) == {"up to date"}


def test_a_pipeline_ends_where_a_stage_leaves_nothing_and_says_what_would(
    finished: tuple[Workspace, dict[str, Any], dict[str, list[Any]]], tmp_path: Path
) -> None:
    place, _, rows = finished
    copy = Workspace(tmp_path / "copy")
    shutil.copytree(place.root, copy.root)
    with pytest.raises(
        ValueError, match=r"filter: nothing is kept \(\d+ blurred.*nearest threshold.*min_sharpness="
    ) as told:
        pipeline(copy.root, overrides.apply(SMALL, ["filter.min_sharpness=1e6"]))
    with pytest.raises(ValueError, match=r"screen: nothing is kept .*screen\.min_log_odds="):
        pipeline(copy.root, overrides.apply(SMALL, ["screen.min_log_odds=1e6"]))
    assert [row[0] for row in content(copy)["videos"]] == [row[0] for row in rows["videos"]]
    cure = re.findall(r"filter\.\w+=[\d.]+", str(told.value))
    with store.writing(copy.store) as con:  # what is proposed does keep one
        con.execute("DELETE FROM rejections WHERE stage <> 'frames'")
    harsh = overrides.apply(SMALL, ["filter.min_sharpness=1e6", *cure])
    assert filter_frames(copy.root, None, SMALL.scan, SMALL.measure, harsh.filter)["kept"] >= 1
    again = generate(copy.root, SMALL.generate, selection=SMALL.select, splitting=SMALL.split, models=SMALL.models)
    assert again["came"] >= again["with_pairs"] and again["pairs"] >= again["kept"]
    assert again["splits"]["train"] + again["splits"]["bench"] <= again["with_pairs"]


def test_each_stage_leaves_an_artifact_to_read(
    finished: tuple[Workspace, dict[str, Any], dict[str, list[Any]]],
) -> None:
    with get_client(sync_client=True) as client:
        artifacts = {artifact.key: artifact for artifact in client.read_latest_artifacts()}
        links = [artifact for artifact in client.read_artifacts() if artifact.type == "markdown"]
    assert {
        "rendered-images",
        "filter-reasons",
        "filter-against-truth",
        "dedup",
        "rank",
        "screen",
        "task-pairs",
    } <= set(artifacts)
    assert {"training-run", "benchmark-scores", "report"} <= set(artifacts)
    assert "planted" in str(artifacts["filter-against-truth"].data)
    assert {"pipeline", "report"} <= {found.key for found in links if f"({PAGES}/report.html)" in str(found.data)}


def test_artifacts_show_pictures_that_are_there(
    finished: tuple[Workspace, dict[str, Any], dict[str, list[Any]]],
) -> None:
    with get_client(sync_client=True) as client:
        artifacts = {artifact.key: str(artifact.data) for artifact in client.read_latest_artifacts()}
    stages = ("filter", "dedup", "rank", "screen", "task")
    for key in (*(f"{stage}-pictures" for stage in stages), "benchmark-videos", "training-curves"):
        shown = re.findall(rf"!\[\]\({PAGES}/(.*?)\)", artifacts[key])
        assert shown and all((finished[0].root / path).stat().st_size > 100 for path in shown), key
    assert "### blurred: " in artifacts["filter-pictures"] and " of 3 |" in artifacts["benchmark-videos"]
    assert "/frames/" not in artifacts["task-pairs"] and "frames/" in artifacts["task-pairs"]


def test_a_mistake_of_the_users_is_not_tried_again(tmp_path: Path) -> None:
    before = len(task_states())
    with pytest.raises(ValueError, match="there is no folder"):
        filter_frames(tmp_path, ["nowhere"])
    assert task_states()[before:] == [("register frames", "Failed")]


def test_refresh_does_the_work_again_and_comes_to_the_same(
    finished: tuple[Workspace, dict[str, Any], dict[str, list[Any]]],
) -> None:
    place, _, rows = finished
    before = len(task_states())
    summary = filter_frames(place.root, [str(place.frames)], SMALL.scan, SMALL.measure, SMALL.filter, refresh=True)
    assert summary["measured"] == len(rows["measurements"]) > 40
    assert ("measure", "Completed") in task_states()[before:]
    assert rank(place.root, SMALL.measure, SMALL.rank, refresh=True)["scored"] == len(rows["aesthetics"]) > 0
    assert content(place) == rows


def test_a_refreshed_training_starts_over_and_comes_to_the_same_weights(
    finished: tuple[Workspace, dict[str, Any], dict[str, list[Any]]],
) -> None:
    place, _, rows = finished
    (metrics,) = place.training.glob("*/metrics.jsonl")
    before = metrics.stat().st_mtime_ns
    train(place.root, SMALL.train, SMALL.models, refresh=True)
    (metrics,) = place.training.glob("*/metrics.jsonl")
    assert metrics.stat().st_mtime_ns > before
    assert content(place)["training_runs"] == rows["training_runs"]


@pytest.mark.parametrize(
    ("said", "status", "raised", "tried"),
    [
        (
            {"event": "error", "reason": "lower train.steps"},
            2,
            pytest.raises(ValueError, match=r"^lower train\.steps$"),
            1,
        ),
        ({"event": "step", "step": 1, "steps": 3}, 1, pytest.raises(ProcessFailed, match="status 1"), 3),
    ],
    ids=["mistake", "failure"],
)
def test_a_mistake_that_the_training_process_finds_is_told_once_and_a_failure_of_it_is_tried_again(
    finished: tuple[Workspace, dict[str, Any], dict[str, list[Any]]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    said: dict[str, Any],
    status: int,
    raised: Any,
    tried: int,
) -> None:
    starts = tmp_path / "starts"
    program = f"print({json.dumps(said)!r}); open({str(starts)!r}, 'a').write('.'); raise SystemExit({status})"
    monkeypatch.setattr(launch, "command", lambda *_: [sys.executable, "-c", program])
    again = training.with_options(refresh_cache=True, retry_delay_seconds=0)
    with raised:
        flow(name="retrain")(lambda: again(finished[0].root, "any", SMALL.train, SMALL.models, LaunchConfig()))()
    assert len(starts.read_text()) == tried
