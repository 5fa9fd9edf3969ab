"""A command that is told to stop, in a terminal of its own: it ends, says what is kept, and leaves no process behind."""

import os
import pty
import signal
import sys
from pathlib import Path

import psutil
import pytest

from deployments import cli, interruption

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


def words(process: psutil.Process) -> list[str]:
    """The command of a process; nothing of one that has ended meanwhile, as helpers of libraries do."""
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:
        return []


@pytest.mark.usefixtures("prefect_home")
@pytest.mark.parametrize(("act", "status"), [("key", 130), (signal.SIGTERM, 143)])
def test_a_flow_that_is_stopped_ends_with_its_server_and_says_what_is_kept(
    tmp_path: Path, act: str | signal.Signals, status: int
) -> None:
    pid, terminal = start(tmp_path, *RENDERING)
    assert b"Beginning flow run" in read_until(terminal, b"Beginning flow run")
    children = psutil.Process(pid).children(recursive=True)
    assert any("deployments.server" in words(child) for child in children)
    if act == "key":
        os.write(terminal, b"\x03")
    else:
        os.kill(pid, act)
    shown = read_until(terminal, b"\0")
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == status
    assert b"what was finished is kept, and the same command goes on" in shown and b"Traceback" not in shown
    assert not psutil.wait_procs(children, timeout=30)[1]


def test_a_second_server_takes_the_place_of_one_that_was_killed(tmp_path: Path) -> None:
    # A new server takes longer than these pictures: the flow's last words wait for it.
    pid, terminal = start(tmp_path, "miniature", "render", "--set", "render.n=300")
    read_until(terminal, b"Beginning flow run")
    next(one for one in psutil.Process(pid).children() if "deployments.server" in words(one)).kill()
    shown = read_until(terminal, b"\0")
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, shown.decode()
    assert b"it is started again" in shown


def test_before_a_flow_runs_a_command_ends_on_the_spot(tmp_path: Path) -> None:
    pid, terminal = start(tmp_path, "doctor")
    maps, process = Path(f"/proc/{pid}/maps"), psutil.Process(pid)
    # Until it runs the command, the process is a copy of this one, which may have read torch long ago.
    while "deployments.cli" not in words(process) or "torch" not in maps.read_text():
        assert process.is_running()
    os.write(terminal, b"\x03")
    shown = read_until(terminal, b"\0")
    assert (os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), b"goes on from there" in shown) == (130, True), shown


class Met:
    """What is finalized as the interrupt comes."""

    def __del__(self) -> None:
        raise KeyboardInterrupt


def test_what_an_interruption_breaks_off_is_told_as_nothing_else(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A call that was broken off fails in a library's own words, and a finalizer that was met prints a traceback."""
    monkeypatch.setattr(sys, "unraisablehook", interruption._say_unless_stopped)
    Met()
    assert "Traceback" in capsys.readouterr().err
    monkeypatch.setattr(interruption, "received", [signal.SIGTERM])
    Met()
    assert cli._told(ConnectionError("connection reset")) == cli._told(LookupError("0")) == 143
    assert set(capsys.readouterr().err.splitlines()) == {interruption.KEPT}
