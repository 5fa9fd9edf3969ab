"""The Prefect server of a command: the user's own, or a temporary one that lives and dies with the command.

Prefect starts one by itself where there is none, in the command's foreground group: Ctrl-C ends it first, and the command
then waits minutes for it. This one has a session of its own, and ends when its standard input does: after the command's last
word, however the command went. If somebody kills it, it is started again on the same port: the command's calls are retried.

    python -m deployments.server PORT
"""

import gc
import os
import socket
import subprocess
import sys
import threading
import time
import tomllib
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from urllib.error import URLError

from deployments import interruption

TEMPORARY = {
    "PREFECT_UI_ENABLED": "0",
    "PREFECT__SERVER_EPHEMERAL": "1",
    # Kinds of blocks, which no command uses: every package that brings some would be read, as Dask's is.
    "PREFECT_API_BLOCKS_REGISTER_ON_START": "false",
    "PREFECT_MEMOIZE_BLOCK_AUTO_REGISTRATION": "false",  # else they are read all the same, to tell whether they changed
}
"""What a server is started with that serves one command."""
STARTS = 3
"""How often a temporary server is started before it is given up."""
STARTUP = 180.0
"""Seconds: the first start makes the database."""


def configured() -> str | None:
    """The address of the user's own server, from the environment or Prefect's active profile."""
    if url := os.environ.get("PREFECT_API_URL"):
        return url
    profiles = Path(os.environ.get("PREFECT_HOME", "~/.prefect")).expanduser() / "profiles.toml"
    if not profiles.is_file():
        return None
    known = tomllib.loads(profiles.read_text(encoding="utf-8"))
    return known.get("profiles", {}).get(known.get("active"), {}).get("PREFECT_API_URL")


@contextmanager
def orchestration(module: str) -> Generator[None]:
    """Runs the block with a server. `module` is what the block imports: it is read while the server starts.

    Raises:
        RuntimeError: no temporary server can be started.
    """
    with interruption.unwinding(_training, _kill_training, _end_training):
        if not configured():
            server = TemporaryServer()
            os.environ["PREFECT_API_URL"] = server.url
            os.environ["PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED"] = "false"  # it is of this environment
            server.start()
            import_module(module)
            server.wait()
            from tasks.heartbeats import silent

            with silent():  # the server ends with the command: nobody listens
                yield
        else:
            yield


class TemporaryServer:
    """A Prefect server on a free port of this machine."""

    def __init__(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/api"

    def start(self) -> None:
        """Starts it, and watches that it goes on; does not wait until it answers."""
        self._process = self._begin()
        threading.Thread(target=self._keep, daemon=True).start()

    def wait(self) -> None:
        """Waits until it answers."""
        deadline = time.monotonic() + STARTUP
        while not answers(self.url):
            if time.monotonic() > deadline:
                raise RuntimeError(f"Prefect's temporary server did not answer within {STARTUP:.0f} s")
            time.sleep(0.05)

    def _begin(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "deployments.server", str(self.port)]
        return subprocess.Popen(command, stdin=subprocess.PIPE, env=os.environ | TEMPORARY, start_new_session=True)

    def _keep(self) -> None:
        for _ in range(STARTS):
            assert self._process is not None
            status = self._process.wait()
            sys.stderr.write(f"Prefect's temporary server has ended (status {status}); it is started again\n")
            self._process = self._begin()
        _kill_training()
        sys.stderr.write("failed: Prefect's temporary server ends again and again; " + interruption.KEPT + "\n")
        sys.stderr.flush()
        os._exit(1)


def answers(url: str) -> bool:
    """Whether a Prefect server is ready at `url`."""
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=5) as reply:
            return reply.status == 200
    except (URLError, OSError):
        return False


def _training() -> bool:
    from tasks import process

    return process.any_left()


def _end_training() -> None:
    from tasks import process

    process.end_all()


def _kill_training() -> None:
    from tasks import process

    process.kill_all()


def main(port: int) -> None:
    """Serves until standard input ends."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    gc.disable()  # it would look through all that is imported again and again, for a quarter of the time
    import uvicorn
    from prefect.server.api.server import create_app

    gc.freeze()
    gc.enable()
    uvicorn.run(
        create_app,
        factory=True,
        host="127.0.0.1",
        port=port,
        log_level="error",
        lifespan="on",
    )


def _end_with_parent() -> None:
    while os.read(0, 4096):
        pass
    os._exit(0)


if __name__ == "__main__":
    main(int(sys.argv[1]))
