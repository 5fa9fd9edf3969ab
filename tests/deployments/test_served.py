"""What `wmsd up` serves: runs that start by form and by schedule, wait for each other, can be cancelled, and end with it."""

import fcntl
from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterDeploymentId
from prefect.client.schemas.schedules import CronSchedule
from prefect.states import Cancelling, Scheduled

from deployments.up import names
from tests.deployments.served import Served, served, stop, trainings, until, wmsd
from tests.miniature.tasks import with_tasks
from wmsd_core.store import query, reading
from wmsd_core.workspace import Workspace

SMALL = ["evaluate.arms=[base]", "evaluate.tasks=4", "evaluate.steps=1"]
EVERY_TEN_SECONDS = "* * * * * */10"


@pytest.fixture(scope="module")
def up(database: Path, tmp_path_factory: pytest.TempPathFactory) -> Generator[Served]:
    folder = tmp_path_factory.mktemp("up")
    with_tasks(Workspace(folder / "workspace"))
    with served(folder, database) as running:
        yield running


def test_a_schedule_fires_by_itself_and_its_run_ends_well(up: Served) -> None:
    nightly = up.client.read_deployment_by_name("nightly-evaluation/nightly-evaluation")
    (schedule,) = nightly.schedules
    assert isinstance(schedule.schedule, CronSchedule) and schedule.active
    assert (schedule.schedule.cron, schedule.schedule.timezone) == ("0 3 * * *", "UTC")
    near = DeploymentScheduleCreate(schedule=CronSchedule(cron=EVERY_TEN_SECONDS), parameters={"settings": SMALL})
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
    with reading(Workspace(up.root).store) as con:
        assert query(con, "SELECT DISTINCT arm FROM evaluations") == [{"arm": "base"}]


def test_a_night_that_was_missed_is_left_out(up: Served) -> None:
    nightly = up.client.read_deployment_by_name("nightly-evaluation/nightly-evaluation")
    yesterday = Scheduled(scheduled_time=datetime.now(UTC) - timedelta(days=1))

    def left_out() -> str:
        missed = up.client.create_flow_run_from_deployment(nightly.id, parameters={"settings": SMALL}, state=yesterday)
        state = up.ended(missed.id).state
        assert state and state.name == "Cancelled" and state.message
        return (
            "" if "concurrency limit" in state.message else state.message
        )  # the place of a run is free some time after its end

    assert "24 hours late: left out" in until(left_out, "the deployment has a place for a run")


def test_a_form_changes_only_the_thresholds_that_it_was_given(up: Served) -> None:
    run = up.run("filter/filter", thresholds={"min_sharpness": 1e6, "min_side": 32})
    assert run.state_name == "Completed" and run.name == "filter workspace: min_sharpness=1000000.0, min_side=32"
    with reading(Workspace(up.root).store) as con:
        reasons = {row["reason"] for row in query(con, "SELECT reason FROM rejections WHERE stage = 'filter'")}
        (settings,) = query(con, "SELECT config FROM stage_runs WHERE stage = 'filter'")
    assert "blurred" in reasons and '"min_luminance": 24.0' in settings["config"]
    assert up.run("filter/filter", thresholds={"min_side": 32}).state_name == "Completed"


def test_of_two_runs_on_a_workspace_one_waits_and_says_for_whom(up: Served) -> None:
    with Workspace(up.root).lock.open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.truncate(0)
        lock.write("process 1 since long ago")
        lock.flush()
        run = up.start("rank/rank", keep_fraction=0.5)
        until(lambda: "waits: another run is at work" in up.logs(run), "the run says that it waits")
        assert "process 1 since long ago" in up.logs(run)
        assert up.client.read_flow_run(run).state_name == "Running"
    assert up.ended(run).state_name == "Completed"


@pytest.mark.parametrize(
    ("deployment", "given", "cure"),
    [
        ("rank/rank", {"workspace": "somewhere"}, "the workspace 'somewhere' is not absolute"),
        ("evaluate/evaluate", {"settings": ["train.stpes=3"]}, "did you mean 'train.steps'?"),
    ],
)
def test_a_mistake_in_a_form_is_told_with_its_cure_in_the_state_of_the_run(
    up: Served, deployment: str, given: dict[str, object], cure: str
) -> None:
    state = up.run(deployment, **given).state
    assert state and state.name == "Failed" and cure in (state.message or "")


def test_a_cancelled_training_is_gone_and_leaves_a_checkpoint_that_its_run_goes_on_from(up: Served) -> None:
    settings = ["train.steps=400", "train.tasks_per_step=4", "train.group_size=2", "train.sampler_steps=2"]
    run = up.start("train/train", settings=settings)
    (folder,) = until(lambda: list(Workspace(up.root).training.glob("*/metrics.jsonl")), "training has begun")
    before = trainings(up)
    assert before
    up.client.set_flow_run_state(run, Cancelling())
    gone, _ = psutil.wait_procs(before, 60)
    assert len(gone) == len(before) and up.ended(run).state_name == "Cancelled"
    assert list(folder.parent.glob("checkpoints/step-*"))
    again = up.start("train/train", run=folder.parent.name, settings=settings)
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
