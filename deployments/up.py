"""`wmsd up`: a Prefect server, a worker, all deployments, and the workspace's pages, as one command that ends as one.

A server that answers already is joined, and left running. Server and worker are in sessions of their own, so that Ctrl-C
reaches this process alone, and end when their standard input does, however this process goes.
"""

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterTags
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_API_URL, temporary_settings

from deployments import pages
from deployments.server import answers, configured
from deployments.worker import POOL
from wmsd_core import __version__
from wmsd_core.workspace import Workspace

DEFINITIONS = Path(__file__).with_name("prefect.yaml")
GPU_QUEUE = "gpu"
STARTUP = 180.0
"""Seconds for a first start, which makes the server's database."""
GRACE = 90.0
"""Seconds for the worker to end its runs."""


@dataclass
class Up:
    """What runs, and where."""

    api: str
    pages: str
    log: Path
    joined: bool
    """Whether the server was there before."""
    children: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def ui(self) -> str:
        return self.api.removesuffix("/api")

    def ended(self) -> str | None:
        """The first part that has ended by itself, if any."""
        return next((name for name, child in self.children.items() if child.poll() is not None), None)

    def wait_for(self, what: str, ready: Callable[[], bool]) -> None:
        """Waits until a part is ready.

        Raises:
            RuntimeError: it takes too long, or has ended.
        """
        deadline = time.monotonic() + STARTUP
        while not ready():
            if (name := self.ended()) or time.monotonic() > deadline:
                raise RuntimeError(f"{name or what} {'has ended' if name else 'is not ready'}: {self.log} says why")
            time.sleep(0.2)


@contextmanager
def up(workspace: Path, port: int) -> Generator[Up]:
    """Everything, until the block ends.

    Raises:
        RuntimeError: a part cannot be started; the message says which, and where its log is.
    """
    root = Workspace(workspace.resolve()).prepare().root
    own = configured()
    api = own or f"http://127.0.0.1:{port}/api"
    joined = answers(api)
    if own and not joined:
        raise RuntimeError(f"no Prefect server answers at {api}: start it, or unset PREFECT_API_URL")
    with ExitStack() as stack:
        served = pages.serve(root, port + 1)
        stack.callback(served.shutdown)
        state = Up(api, f"http://127.0.0.1:{served.server_port}", root / "up.log", joined)
        environment = os.environ | {"PREFECT_API_URL": api, "WMSD_WORKSPACE": str(root), "WMSD_PAGES": state.pages}
        log = stack.enter_context(state.log.open("ab"))

        def start(name: str, module: str, *arguments: str, **more: str) -> None:
            command = [sys.executable, "-m", module, *arguments]
            child = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=log, stderr=log, env=environment | more, start_new_session=True
            )
            state.children[name] = child
            stack.callback(_end, child)

        if not joined:
            start("the Prefect server", "deployments.server", str(port), **_of_the_server(api))
            state.wait_for("the Prefect server", lambda: answers(api))
        stack.enter_context(temporary_settings({PREFECT_API_URL: api}))
        with get_client(sync_client=True) as client:
            prepare_pool(client)
            start("the worker", "deployments.worker", PREFECT_WORKER_QUERY_SECONDS="2")
            if outdated(client, root):
                deploy(environment, root, state.log)
            state.wait_for("the worker", lambda: bool(workers(client)))
        yield state


def _of_the_server(api: str) -> dict[str, str]:
    return {
        "PREFECT_SERVER_UI_API_URL": api,  # the UI would call port 4200 otherwise
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        # Runs of more than 90 days ago are forgotten, with their logs.
        "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
    }


def _end(child: subprocess.Popen[bytes]) -> None:
    """Ends a child by the end of its standard input."""
    assert child.stdin is not None
    child.stdin.close()
    try:
        child.wait(GRACE)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def prepare_pool(client: SyncPrefectClient) -> None:
    """The pool that the worker takes runs from, and its queue for the GPU, which takes one run at a time."""
    try:
        client.read_work_pool(POOL)
    except ObjectNotFound:
        client.create_work_pool(WorkPoolCreate(name=POOL, type="process"))
        queues = f"/work_pools/{POOL}/queues"
        client.request("POST", queues, json={"name": GPU_QUEUE, "concurrency_limit": 1})  # pyright: ignore[reportArgumentType]


def workers(client: SyncPrefectClient) -> list[str]:
    """Names of the workers that are there."""
    return [worker.name for worker in client.read_workers_for_work_pool(POOL) if worker.status == "ONLINE"]


def version(root: Path) -> str:
    """What deployments are made of: their definitions, the program, the workspace."""
    parts = DEFINITIONS.read_bytes() + __version__.encode() + os.fsencode(root)
    return f"{__version__}-{hashlib.sha256(parts).hexdigest()[:8]}"


def deployed(client: SyncPrefectClient) -> dict[str, str | None]:
    """Name and version of each deployment that is there."""
    ours = DeploymentFilter(tags=DeploymentFilterTags(all_=["wmsd"]))
    return {found.name: found.version for found in client.read_deployments(deployment_filter=ours)}


def outdated(client: SyncPrefectClient, root: Path) -> bool:
    """Whether a deployment is missing or of another version. Those that are not keep what was changed in the UI."""
    found = deployed(client)
    return not found or set(found.values()) != {version(root)}


def deploy(environment: dict[str, str], root: Path, log: Path) -> None:
    """Applies the definitions.

    Raises:
        RuntimeError: Prefect refuses them.
    """
    command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all", "--version", version(root)]
    run = subprocess.run(
        [*command, "--prefect-file", str(DEFINITIONS)], env=environment, cwd=root, capture_output=True, text=True
    )
    with log.open("a", encoding="utf-8") as lines:
        lines.write(run.stdout + run.stderr)
    if run.returncode:
        raise RuntimeError(f"the deployments cannot be made: {log} says why")


def check(root: Path, port: int) -> list[dict[str, str]]:
    """Each part with "ok", or what is wrong with it and how it is mended."""
    api = configured() or f"http://127.0.0.1:{port}/api"
    begin = "`wmsd up` starts it"
    if not answers(api):
        return [{"part": "server", "state": f"none answers at {api}: {begin}"}]
    found = {"server": "ok"}
    with temporary_settings({PREFECT_API_URL: api}), get_client(sync_client=True) as client:
        there = deployed(client)
        missing = sorted(names() - there.keys())
        found["deployments"] = f"missing: {', '.join(missing)}; `wmsd up` makes them" if missing else "ok"
        try:
            found["worker"] = "ok" if workers(client) else f"none takes runs from the pool {POOL}: {begin}"
        except ObjectNotFound:
            found["worker"] = f"there is no pool {POOL}: `wmsd up` makes it"
    found["pages"] = "ok" if pages.served_at(port + 1) == root.resolve() else f"not served on port {port + 1}: {begin}"
    return [{"part": part, "state": state} for part, state in found.items()]


def names() -> set[str]:
    """Names of the deployments that are defined."""
    return {one["name"] for one in yaml.safe_load(DEFINITIONS.read_text(encoding="utf-8"))["deployments"]}
