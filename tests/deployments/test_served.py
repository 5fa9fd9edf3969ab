"""What `wmsd up` serves: runs that start by form and by schedule, wait for each other, can be cancelled, and end with it."""

import fcntl
import time
import urllib.error
import urllib.request
from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import psutil
import pytest
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterDeploymentId
from prefect.client.schemas.schedules import CronSchedule
from prefect.states import Cancelling, Scheduled

from deployments import forms, recipes
from deployments.up import names
from tests.deployments.served import Served, served, until, wmsd
from wmsd_core.frames import FramesConfig, register
from wmsd_core.miniature.pictures import RenderConfig, render
from wmsd_core.miniature.vlm import MiniatureVLM
from wmsd_core.store import query, reading
from wmsd_core.workspace import Workspace
from wmsd_core.worldtasks import GenerateConfig, SplitConfig, assign_splits, generate_pairs, label_tasks

SMALL = ["evaluate.arms=[base]", "evaluate.tasks=4", "evaluate.steps=1"]
EVERY_TEN_SECONDS = "* * * * * */10"


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Generator[Served]:
    folder = tmp_path_factory.mktemp("up")
    with_tasks(Workspace(folder / "workspace").prepare())
    with served(folder) as running:
        yield running


def with_tasks(place: Workspace) -> None:
    """Frames with tasks, in train and bench."""
    list(render(place.frames, place.truth, RenderConfig(n=24)))
    register(place.store, place.frames, FramesConfig())
    with reading(place.store) as con:
        ids = [row["frame_id"] for row in query(con, "SELECT frame_id FROM frames")]
    generate_pairs(place.store, ids, MiniatureVLM(), GenerateConfig())
    label_tasks(place.store)
    assign_splits(place.store, SplitConfig(bench_fraction=0.4))


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
    up.client.request("PATCH", f"/deployments/{nightly.id}", json={"paused": True})
    with reading(Workspace(up.root).store) as con:
        assert query(con, "SELECT DISTINCT arm FROM evaluations") == [{"arm": "base"}]
