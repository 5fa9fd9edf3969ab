"""A child process ends with its task, however the task ends."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from tasks import process

GRANDPARENT = """
    import subprocess, sys, time
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    print(child.pid, flush=True)
    time.sleep(600)
"""


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"


def gone(pid: int) -> bool:
    """Whether a process ends within a moment: a signal arrives when its receiver has a core."""
    deadline = time.monotonic() + 10
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not alive(pid)


def python(program: str) -> list[str]:
    return [sys.executable, "-c", textwrap.dedent(program)]


def test_lines_arrive_one_by_one(tmp_path: Path) -> None:
    lines: list[tuple[str, float]] = []
    program = "import time\nfor i in range(3): print(i, flush=True); time.sleep(0.2)"
    process.watch(python(program), lambda line: lines.append((line, time.monotonic())), log=tmp_path / "log")
    assert [line for line, _ in lines] == ["0", "1", "2"]
    assert lines[2][1] - lines[0][1] > 0.3


def test_a_failure_carries_the_last_words(tmp_path: Path) -> None:
    with pytest.raises(process.ProcessFailed, match="status 1: ValueError: out of paint"):
        process.watch(python("raise ValueError('out of paint')"), lambda line: None, log=tmp_path / "log")


def test_an_exception_in_the_task_ends_the_whole_group(tmp_path: Path) -> None:
    pids: list[int] = []

    def interrupt(line: str) -> None:
        pids.append(int(line))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        process.watch(python(GRANDPARENT), interrupt, log=tmp_path / "log")
    assert pids and gone(pids[0])


def test_a_child_that_ignores_sigterm_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "GRACE", 0.3)
    stubborn = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
    )
    child = subprocess.Popen(python(stubborn), stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert child.stdout is not None and child.stdout.readline() == "up\n"
    process.end(child)
    assert child.returncode == -signal.SIGKILL


def test_children_of_other_threads_are_ended_and_no_further_one_is_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "_stopping", threading.Event())
    pids: list[int] = []
    failed: list[process.ProcessFailed] = []

    def task() -> None:
        try:
            process.watch(python(GRANDPARENT), lambda line: pids.append(int(line)), log=tmp_path / "log")
        except process.ProcessFailed as failure:
            failed.append(failure)

    threads = [threading.Thread(target=task) for _ in range(2)]
    for thread in threads:
        thread.start()
    while len(pids) < 2:
        time.sleep(0.01)
    process.end_all()
    for thread in threads:
        thread.join(10)
    assert len(failed) == 2 and all(map(gone, pids)) and not process.any_left()
    with pytest.raises(process.ProcessFailed, match="is not begun: all was told to stop"):
        process.watch(python("print(1)"), print, log=tmp_path / "log")


def test_what_a_child_remarks_is_handed_on_and_kept(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("of an earlier run\n")
    remarks: list[str] = []
    program = """
        import sys, time
        for word in ("one\\n", "tw", "o\\n", "\\n", "end"):
            sys.stderr.write(word)
            sys.stderr.flush()
            time.sleep(0.3)
    """
    process.watch(python(program), lambda _: None, log=tmp_path / "log", on_remark=remarks.append)
    assert remarks == ["one", "two", "end"]
    assert (tmp_path / "log").read_text() == "of an earlier run\none\ntwo\n\nend"
