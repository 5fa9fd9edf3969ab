"""`wmsd up` for tests: started as a person starts it, with a server, database and ports of its own."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun
from prefect.settings import PREFECT_API_URL, temporary_settings

from tests.orchestration import fill

SLOW = 180.0
"""Seconds that a busy machine may need for anything here."""


@dataclass(frozen=True)
class Served:
    """A running `wmsd up`."""

    process: subprocess.Popen[bytes]
    root: Path
    ui: str
    pages: str
    client: SyncPrefectClient

    def start(self, deployment: str, **parameters: Any) -> UUID:
        """Starts a run, as the form does; returns its id."""
        found = self.client.read_deployment_by_name(deployment)
        return self.client.create_flow_run_from_deployment(found.id, parameters=parameters).id

    def run(self, deployment: str, **parameters: Any) -> FlowRun:
        """Starts a run and waits for its end."""
        return self.ended(self.start(deployment, **parameters))

    def ended(self, run: UUID) -> FlowRun:
        def final() -> FlowRun | None:
            found = self.client.read_flow_run(run)
            return found if found.state and found.state.is_final() else None

        return until(final, "the run ends")

    def logs(self, run: UUID) -> str:
        answer = self.client.request("POST", "/logs/filter", json={"logs": {"flow_run_id": {"any_": [str(run)]}}})
        return "\n".join(line["message"] for line in answer.json())


def until(condition: Any, what: str) -> Any:
    """Waits until a condition gives something."""
    deadline = time.monotonic() + SLOW
    while not (found := condition()):
        assert time.monotonic() < deadline, f"waited {SLOW:.0f} s until {what}"
        time.sleep(0.2)
    return found


def environment(home: Path) -> dict[str, str]:
    root = str(Path(__file__).parents[2])
    kept = {name: value for name, value in os.environ.items() if name != "PREFECT_API_URL"}
    return {**kept, "PREFECT_HOME": str(home), "PYTHONPATH": root, "COLUMNS": "200"}


@contextmanager
def served(folder: Path, database: Path) -> Generator[Served]:
    """Starts it for the workspace `folder/workspace`, and ends it by Ctrl-C."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    root, said, home = folder / "workspace", folder / "said", fill(folder / "home", database)
    command = [sys.executable, "-m", "deployments.cli", "up", "--workspace", str(root), "--port", str(port)]
    with said.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, env=environment(home), start_new_session=True)
    try:
        until(lambda: process.poll() is not None or "Ctrl-C" in said.read_text(), "everything is up")
        assert process.poll() is None, said.read_text() + (root / "up.log").read_text()
        words = said.read_text().split()
        ui, pages = (word for word in words if word.startswith("http://"))
        with temporary_settings({PREFECT_API_URL: f"{ui}/api"}), get_client(sync_client=True) as client:
            yield Served(process, root, ui, pages.removesuffix("/"), client)
    finally:
        stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ctrl-C, unless it has ended already; whatever is left of it afterwards is a fault."""
    if process.poll() is None:
        tree = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGINT)
        process.wait(SLOW)
        _, left = psutil.wait_procs(tree, 5)
        assert not left, [" ".join(each.cmdline()) for each in left]


def trainings(up: Served) -> list[psutil.Process]:
    """Processes below this `wmsd up` that train."""
    below = psutil.Process(up.process.pid).children(recursive=True)
    return [process for process in below if "wmsd_core.training" in process.cmdline()]


def wmsd(*arguments: str, home: Path) -> tuple[int, Any]:
    """Status and JSON of a command."""
    command = [sys.executable, "-m", "deployments.cli", *arguments]
    run = subprocess.run(command, capture_output=True, text=True, env=environment(home))
    return run.returncode, json.loads(run.stdout) if "--json" in arguments else run.stdout
