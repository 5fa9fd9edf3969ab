"""Memory of a process that runs flows: threads that come and go leave no heap of their own behind."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROGRAM = """
    import ctypes, os, re, sys, tempfile, threading
    if sys.argv[1] == "begun":
        from deployments import start
        start.begin()
    ready = threading.Barrier(33)
    def hold():
        kept = [bytearray(2000) for _ in range(200)]
        ready.wait()
        ready.wait()
    threads = [threading.Thread(target=hold) for _ in range(32)]
    for thread in threads:
        thread.start()
    ready.wait()
    libc = ctypes.CDLL(None)
    libc.fopen.restype, libc.fopen.argtypes = ctypes.c_void_p, [ctypes.c_char_p] * 2
    libc.malloc_info.argtypes, libc.fclose.argtypes = [ctypes.c_int, ctypes.c_void_p], [ctypes.c_void_p]
    with tempfile.NamedTemporaryFile() as told:
        file = libc.fopen(told.name.encode(), b"w")
        libc.malloc_info(0, file)
        libc.fclose(file)
        print(len(re.findall("<heap nr", open(told.name).read())))
    ready.wait()
"""


def heaps(how: str) -> int:
    environment = {name: value for name, value in os.environ.items() if name != "MALLOC_ARENA_MAX"}
    command = [sys.executable, "-c", textwrap.dedent(PROGRAM), how]
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return int(run.stdout)


@pytest.mark.skipif(
    "glibc" not in os.confstr("CS_GNU_LIBC_VERSION") if sys.platform == "linux" else True, reason="of glibc"
)
def test_threads_share_a_heap_for_each_core() -> None:
    cores = os.cpu_count() or 1
    assert heaps("begun") <= cores < heaps("as it is")
