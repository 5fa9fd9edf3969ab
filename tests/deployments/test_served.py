"""What `wmsd up` serves: runs that start by form and by schedule, wait for each other, can be cancelled, and end with it. Over
Prefect's API in one workspace, and by clicking in the system's Chromium in another."""

import fcntl
import urllib.request
from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterDeploymentId
from prefect.client.schemas.schedules import CronSchedule
from prefect.states import Cancelling, Scheduled

from deployments.up import names
from tests.chromium import chromium, needed
from tests.deployments.clicking import add_setting, ends, field, open_form, submit
from tests.deployments.served import SLOW, Served, served, stop, trainings, until, wmsd
from tests.miniature.tasks import with_tasks
from wmsd_core.store import query, reading
from wmsd_core.workspace import Workspace

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

FEW = ["evaluate.arms=[base]", "evaluate.tasks=4", "evaluate.steps=1"]
CLICKED = """
recipe: miniature
render: {n: 60}
split: {bench_fraction: 0.3}
train: {steps: 3, tasks_per_step: 4, group_size: 2, sampler_steps: 2, checkpoint_every: 1}
evaluate: {tasks: 12, steps: 2}
"""

EVERY_TEN_SECONDS = "* * * * * */10"


@pytest.fixture(scope="module")
def up(database: Path, tmp_path_factory: pytest.TempPathFactory) -> Generator[Served]:
    folder = tmp_path_factory.mktemp("up")
    (folder / "workspace").mkdir()
    (folder / "workspace" / "wmsd.yaml").write_text(CLICKED)
    with served(folder, database) as running:
        yield running


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Another workspace than the served one, with tasks."""
    return with_tasks(Workspace(tmp_path_factory.mktemp("other") / "other"))


@pytest.fixture(scope="module")
def browser() -> Generator["Browser"]:
    with chromium() as found:
        yield found


@pytest.fixture
def page(browser: "Browser") -> Generator["Page"]:
    found = browser.new_page(viewport={"width": 1400, "height": 1000})
    found.set_default_timeout(1000 * SLOW)
    yield found
    found.close()


def fetched(address: str) -> bytes:
    with urllib.request.urlopen(address, timeout=30) as reply:
        return reply.read()


@needed
def test_the_pipeline_starts_from_its_form_and_its_artifacts_open(page: "Page", up: Served) -> None:
    open_form(page, up, "pipeline")
    assert page.get_by_text("Where the settings come from").is_visible(), "fields have their help"
    run = submit(page, up)
    ends(page, up, run, "Completed")
    page.get_by_text("Artifacts", exact=True).first.click()
    page.locator("a[href*='/artifacts/artifact/']").first.click()
    report = page.locator(f"a[href^='{up.pages}']").first
    report.wait_for()
    assert b"World Model Self-Distillation" in fetched(str(report.get_attribute("href")))
    page.goto(f"{up.ui}/artifacts/key/filter-pictures")
    page.locator("a[href*='/artifacts/artifact/']").first.click()
    page.locator("img").first.wait_for()
    page.wait_for_function("[...document.images].every(one => one.complete)")
    assert page.evaluate("[...document.images].every(one => one.naturalWidth > 0)"), "pictures of artifacts are seen"
    page.goto(f"{up.pages}/report.html")
    assert page.locator("h1").first.is_visible()


@needed
def test_the_filter_alone_runs_at_a_threshold_that_is_typed_in(page: "Page", up: Served) -> None:
    def blurred() -> int:
        with reading(Workspace(up.root).store) as con:
            return query(con, "SELECT count(*) AS n FROM rejections WHERE stage = 'filter' AND reason = 'blurred'")[0][
                "n"
            ]

    before = blurred()
    open_form(page, up, "filter")
    field(page, "Min Sharpness").fill("200")
    run = submit(page, up)
    ends(page, up, run, "Completed")
    assert blurred() > before
    assert "min_sharpness=200" in up.client.read_flow_run(run).name


@needed
def test_the_nightly_evaluation_shows_its_schedule(page: "Page", up: Served) -> None:
    page.goto(f"{up.ui}/deployments")
    page.get_by_text("nightly-evaluation", exact=True).first.click()
    page.get_by_text("At 03:00 AM").first.wait_for()


@needed
def test_a_mistake_in_a_form_is_read_on_the_page_of_its_run(page: "Page", up: Served) -> None:
    open_form(page, up, "train")
    add_setting(page, "train.stpes=3")
    run = submit(page, up)
    ends(page, up, run, "Failed")
    page.get_by_text("did you mean 'train.steps'?").first.wait_for()


@needed
def test_a_training_is_cancelled_by_a_click_and_leaves_a_checkpoint(page: "Page", up: Served) -> None:
    before = set(Workspace(up.root).training.glob("*/metrics.jsonl"))
    open_form(page, up, "train")
    add_setting(page, "train.steps=400")
    run = submit(page, up)
    (metrics,) = until(lambda: set(Workspace(up.root).training.glob("*/metrics.jsonl")) - before, "training has begun")
    training = trainings(up)
    assert training
    watched = [*training, *training[0].parents()[:1]]  # its run's process too
    page.reload()
    page.get_by_role("button", name="Cancel", exact=True).click()
    page.get_by_role("button", name="Confirm").click()
    _, left = psutil.wait_procs(watched, SLOW)
    assert not left
    ends(page, up, run, "Cancelled")
    assert list(metrics.parent.glob("checkpoints/step-*"))


def test_a_schedule_fires_by_itself_and_its_run_ends_well(up: Served, place: Workspace) -> None:
    nightly = up.client.read_deployment_by_name("nightly-evaluation/nightly-evaluation")
    (schedule,) = nightly.schedules
    assert isinstance(schedule.schedule, CronSchedule) and schedule.active
    assert (schedule.schedule.cron, schedule.schedule.timezone) == ("0 3 * * *", "UTC")
    near = DeploymentScheduleCreate(
        schedule=CronSchedule(cron=EVERY_TEN_SECONDS), parameters={"workspace": str(place.root), "settings": FEW}
    )
    up.client.request(
        "POST", f"/deployments/{nightly.id}/schedules", json=[near.model_dump(mode="json", exclude_unset=True)]
    )
    of_it = FlowRunFilter(deployment_id=FlowRunFilterDeploymentId(any_=[nightly.id]))

    def completed() -> bool:
        return any(run.state_name == "Completed" for run in up.client.read_flow_runs(flow_run_filter=of_it))

    until(completed, "a scheduled run completes")
    up.client.request("PATCH", f"/deployments/{nightly.id}", json={"schedules": []})
    waiting = ("Scheduled", "Late", "Pending", "Running")
    for run in up.client.read_flow_runs(flow_run_filter=of_it):
        if run.state_name in waiting[:2]:
            up.client.delete_flow_run(run.id)
    until(
        lambda: not any(run.state_name in waiting for run in up.client.read_flow_runs(flow_run_filter=of_it)),
        "no run is left",
    )
    with reading(place.store) as con:
        assert query(con, "SELECT DISTINCT arm FROM evaluations") == [{"arm": "base"}]


def test_a_night_that_was_missed_is_left_out(up: Served, place: Workspace) -> None:
    nightly = up.client.read_deployment_by_name("nightly-evaluation/nightly-evaluation")
    yesterday = Scheduled(scheduled_time=datetime.now(UTC) - timedelta(days=1))

    def left_out() -> str:
        missed = up.client.create_flow_run_from_deployment(
            nightly.id, parameters={"workspace": str(place.root), "settings": FEW}, state=yesterday
        )
        state = up.ended(missed.id).state
        assert state and state.name == "Cancelled" and state.message
        return (
            "" if "concurrency limit" in state.message else state.message
        )  # the place of a run is free some time after its end

    assert "24 hours late: left out" in until(left_out, "the deployment has a place for a run")


def test_a_form_changes_only_the_thresholds_that_it_was_given(up: Served, place: Workspace) -> None:
    run = up.run("filter/filter", workspace=str(place.root), thresholds={"min_sharpness": 1e6, "min_side": 32})
    assert run.state_name == "Completed" and run.name == "filter other: min_sharpness=1000000.0, min_side=32"
    with reading(place.store) as con:
        reasons = {row["reason"] for row in query(con, "SELECT reason FROM rejections WHERE stage = 'filter'")}
        (settings,) = query(con, "SELECT config FROM stage_runs WHERE stage = 'filter'")
    assert "blurred" in reasons and '"min_luminance": 24.0' in settings["config"]
    assert up.run("filter/filter", workspace=str(place.root), thresholds={"min_side": 32}).state_name == "Completed"


def test_of_two_runs_on_a_workspace_one_waits_and_says_for_whom(up: Served, place: Workspace) -> None:
    with place.lock.open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.truncate(0)
        lock.write("process 1 since long ago")
        lock.flush()
        run = up.start("rank/rank", workspace=str(place.root), keep_fraction=0.5)
        until(lambda: "waits: another run is at work" in up.logs(run), "the run says that it waits")
        assert "process 1 since long ago" in up.logs(run)
        assert up.client.read_flow_run(run).state_name == "Running"
    assert up.ended(run).state_name == "Completed"


def test_a_mistake_in_a_form_is_told_with_its_cure_in_the_state_of_the_run(up: Served) -> None:
    state = up.run("rank/rank", workspace="somewhere").state
    assert state and state.name == "Failed" and "the workspace 'somewhere' is not absolute" in (state.message or "")


def test_a_cancelled_training_is_gone_and_leaves_a_checkpoint_that_its_run_goes_on_from(
    up: Served, place: Workspace
) -> None:
    settings = ["train.steps=400", "train.tasks_per_step=4", "train.group_size=2", "train.sampler_steps=2"]
    run = up.start("train/train", workspace=str(place.root), settings=settings)
    (folder,) = until(lambda: list(place.training.glob("*/metrics.jsonl")), "training has begun")
    before = trainings(up)
    assert before
    up.client.set_flow_run_state(run, Cancelling())
    gone, _ = psutil.wait_procs(before, 60)
    assert len(gone) == len(before) and up.ended(run).state_name == "Cancelled"
    assert list(folder.parent.glob("checkpoints/step-*"))
    again = up.start("train/train", workspace=str(place.root), run=folder.parent.name, settings=settings)
    until(lambda: trainings(up), "training goes on")
    assert up.client.read_flow_run(again).state_name == "Running"


def test_the_check_says_what_is_up_and_the_end_leaves_nothing_behind(up: Served) -> None:
    port = up.ui.rpartition(":")[2]
    home = up.root.parent / "home"
    arguments = ("up", "--check", "--workspace", str(up.root), "--port", port)
    status, rows = wmsd(*arguments, "--json", home=home)
    assert status == 0 and {row["part"] for row in rows} == {"server", "deployments", "worker", "pages"}
    assert len(up.client.read_deployments()) == len(names()) == 8
    training = trainings(up)  # that of the test before
    stop(up.process)
    assert up.process.returncode in (0, 130) and not any(process.is_running() for process in training)
    status, said = wmsd(*arguments, home=home)
    assert status == 1 and "`wmsd up` starts it" in said
