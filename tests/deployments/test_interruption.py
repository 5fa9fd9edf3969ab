"""A command that is told to stop, in a terminal of its own: it ends, says what is kept, and leaves no process behind."""

import os
import pty
import signal
import sys
from pathlib import Path

import psutil
import pytest

RENDERING = ("miniature", "render", "--set", "render.n=20000")


def read_until(terminal: int, text: bytes) -> bytes:
    """What the terminal shows, to the first `text` in it; to its end where there is none."""
    shown = b""
    while text not in shown:
        try:
            if not (more := os.read(terminal, 65536)):
                break
        except OSError:  # Linux says so where all writers are gone
            break
        shown += more
    return shown


def start(folder: Path, *arguments: str) -> tuple[int, int]:
    """`wmsd` in a terminal of its own, with a database of its own: process id and terminal."""
    pid, terminal = pty.fork()
    if pid == 0:
        root = str(Path(__file__).parents[2])
        os.environ |= {"PYTHONPATH": root, "PREFECT_HOME": str(folder / "prefect"), "COLUMNS": "200"}
        os.environ.pop("PREFECT_API_URL", None)
        os.chdir(folder)
        os.execv(sys.executable, [sys.executable, "-m", "deployments.cli", *arguments])
    return pid, terminal


@pytest.mark.parametrize(("act", "status"), [("key", 130), (signal.SIGTERM, 143)])
def test_a_flow_that_is_stopped_ends_with_its_server_and_says_what_is_kept(
    tmp_path: Path, act: str | signal.Signals, status: int
) -> None:
    pid, terminal = start(tmp_path, *RENDERING)
    assert b"Beginning flow run" in read_until(terminal, b"Beginning flow run")
    children = psutil.Process(pid).children(recursive=True)
    assert any("deployments.server" in child.cmdline() for child in children)
    if act == "key":
        os.write(terminal, b"\x03")
    else:
        os.kill(pid, act)
    shown = read_until(terminal, b"\0")
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == status
    assert b"what was finished is kept, and the same command goes on" in shown and b"Traceback" not in shown
    assert not psutil.wait_procs(children, timeout=30)[1]


def test_a_second_server_takes_the_place_of_one_that_was_killed(tmp_path: Path) -> None:
    pid, terminal = start(tmp_path, "miniature", "render", "--set", "render.n=2000")
    read_until(terminal, b"Beginning flow run")
    next(one for one in psutil.Process(pid).children() if "deployments.server" in one.cmdline()).kill()
    shown = read_until(terminal, b"\0")
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, shown.decode()
    assert b"it is started again" in shown


def test_before_a_flow_runs_a_command_ends_on_the_spot(tmp_path: Path) -> None:
    pid, terminal = start(tmp_path, "doctor")
    reading = psutil.Process(pid)
    while not any("wmsd_core" in one.path or "torch" in one.path for one in reading.memory_maps()):
        assert reading.is_running()
    os.write(terminal, b"\x03")
    assert b"goes on from there" in read_until(terminal, b"\0")
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 130
