"""Prefect for tests: its database made once for all of them, and its harness with the server of the project's commands.

To make a database is half of a server's first start. The server that is killed in
`tests/deployments/test_interruption.py` makes its own.
"""

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
from prefect.server.api.server import SubprocessASGIServer
from prefect.settings import get_current_settings
from prefect.testing import utilities

from deployments.server import TEMPORARY

NAME = "prefect.db"
MAKE = """
import asyncio
from prefect.server.database import provide_database_interface
asyncio.run(provide_database_interface().create_db())
"""


def database(folder: Path) -> Path:
    """A home of Prefect's with an empty database; made in `folder` by whichever process comes first, others wait for it."""
    home = folder / "prefect"
    with (folder / "prefect.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not home.exists():
            made = folder / "prefect.new"
            subprocess.run([sys.executable, "-c", MAKE], check=True, env=os.environ | {"PREFECT_HOME": str(made)})
            made.rename(home)
    return home


def fill(home: Path, database: Path, name: str = NAME) -> Path:
    """Puts an empty database into a home of Prefect's; returns the home."""
    home.mkdir(parents=True, exist_ok=True)
    for file in database.glob(f"{NAME}*"):  # SQLite may have left a log beside it
        shutil.copy(file, home / file.name.replace(NAME, name))
    return home


@contextmanager
def harness(home: Path, database: Path) -> Generator[None]:
    """`prefect_test_harness`, whose flows meet a server and a database of their own, in the folder `home`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(utilities, "mkdtemp", lambda: str(fill(home, database, "prefect-test.db")))
        patch.setattr(SubprocessASGIServer, "_run_uvicorn_command", _started)
        with utilities.prefect_test_harness(server_startup_timeout=180):
            yield


def _started(server: SubprocessASGIServer) -> subprocess.Popen[bytes]:
    settings = get_current_settings().to_environment_variables(exclude_unset=True)
    command = [sys.executable, "-m", "deployments.server", str(server.port)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, env=os.environ | TEMPORARY | settings)
