"""Prefect's UI as its user meets it: forms that are opened, filled in and sent, and pages of runs."""

import re
from typing import TYPE_CHECKING
from uuid import UUID

from tests.deployments.served import Served, until

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page


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
