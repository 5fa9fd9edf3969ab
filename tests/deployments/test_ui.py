"""Prefect's UI as its user meets it, in the system's Chromium, by clicking: forms, runs, artifacts, a cancelled training."""

import re
import urllib.request
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import psutil
import pytest

from tests.chromium import chromium, needed
from tests.deployments.served import SLOW, Served, served, trainings, until
from wmsd_core.store import query, reading
from wmsd_core.workspace import Workspace

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

pytestmark = needed

SMALL = """
recipe: miniature
render: {n: 60}
split: {bench_fraction: 0.3}
train: {steps: 3, tasks_per_step: 4, group_size: 2, sampler_steps: 2, checkpoint_every: 1}
evaluate: {tasks: 12, steps: 2}
"""


@pytest.fixture(scope="module")
def up(database: Path, tmp_path_factory: pytest.TempPathFactory) -> Generator[Served]:
    folder = tmp_path_factory.mktemp("ui")
    (folder / "workspace").mkdir()
    (folder / "workspace" / "wmsd.yaml").write_text(SMALL)
    with served(folder, database) as running:
        yield running


@pytest.fixture(scope="module")
def page() -> Generator["Page"]:
    with chromium() as browser:
        found = browser.new_page(viewport={"width": 1400, "height": 1000})
        found.set_default_timeout(1000 * SLOW)
        yield found


def open_form(page: "Page", up: Served, deployment: str) -> None:
    page.goto(f"{up.ui}/deployments")
    page.locator("a[href*='/deployments/deployment/']", has_text=re.compile(f"^{deployment}$")).first.click()
    page.get_by_role("button", name="Run", exact=True).click()
    page.get_by_text("Custom run").click()
    page.get_by_role("button", name="Submit").wait_for()


def add_setting(page: "Page", setting: str) -> None:
    """Adds an item to the form's list of settings, its first one."""
    page.get_by_role("button", name="Add item").first.click()
    page.locator(".schema-form-property-array-item textarea").last.fill(setting)


def field(page: "Page", label: str) -> "Locator":
    """The input below a label."""
    return page.locator(".p-label", has_text=label).last.locator("input, textarea").first


def submit(page: "Page", up: Served) -> UUID:
    """Sends the form, and opens the page of the run that it starts; returns the run's id.

    The page of the deployment names the new run too, but its worker renames it within seconds.
    """

    def created() -> str:
        with page.expect_response(re.compile("/create_flow_run$")) as reply:
            page.get_by_role("button", name="Submit").click()
        if reply.value.status == 503:  # a server whose database is busy says so, and whoever sees it clicks again
            page.wait_for_timeout(1000)
            return ""
        assert reply.value.ok, reply.value.text()
        return str(reply.value.json()["id"])

    run = UUID(until(created, "a run is created"))
    page.goto(f"{up.ui}/runs/flow-run/{run}")
    return run


def ends(page: "Page", up: Served, run: UUID, state: str) -> None:
    """Waits until a run has ended and its page says how."""
    found = up.ended(run)
    assert found.state_name == state, f"{found.state and found.state.message}\n{up.logs(run)}"
    page.reload()
    page.get_by_text(state, exact=True).first.wait_for()


def fetched(address: str) -> bytes:
    with urllib.request.urlopen(address, timeout=30) as reply:
        return reply.read()


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


def test_the_nightly_evaluation_shows_its_schedule(page: "Page", up: Served) -> None:
    page.goto(f"{up.ui}/deployments")
    page.get_by_text("nightly-evaluation", exact=True).first.click()
    page.get_by_text("At 03:00 AM").first.wait_for()


def test_a_mistake_in_a_form_is_read_on_the_page_of_its_run(page: "Page", up: Served) -> None:
    open_form(page, up, "train")
    add_setting(page, "train.stpes=3")
    run = submit(page, up)
    ends(page, up, run, "Failed")
    page.get_by_text("did you mean 'train.steps'?").first.wait_for()


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
