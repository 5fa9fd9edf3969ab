"""Shapes in signatures are checked in every test; one thread, so that results repeat and a shared machine does not stall."""

import functools
import gc
import os
import sys
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")
# Where a container forbids it, each of a hundred processes that tests start would compile the project, each worker all tests.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

from jaxtyping import install_import_hook

install_import_hook(
    ["wmsd_core.objectives", "wmsd_core.sampling", "wmsd_core.rewards"],
    "beartype.beartype",
)
sys.dont_write_bytecode = False
gc.disable()  # until all is collected

LONGEST = (
    "deployments/test_served.py",
    "flows/test_kill.py",
    "flows/test_pipeline.py",
    "studies/test_kill.py",
    "training/test_distributed.py",
    "training/test_process.py",
    "deployments/test_interruption.py",
    "deployments/test_cli.py",
    "training/test_rehearsal.py",
    "yardsticks/test_on_gpu.py",
    "flows/test_dataset.py",
    "worldtasks/test_export.py",
    "worldtasks/test_splits.py",
    "generators/test_pretrained.py",
)
"""Files that take longest, with which workers begin: who meets one at the end has everybody wait."""

_status = 0


def pytest_sessionstart(session: pytest.Session) -> None:
    """A mutant is met by no value that was remembered before it: mutmut forks a process that has run all tests."""
    if "MUTANT_UNDER_TEST" in os.environ:
        for one in gc.get_objects():
            if isinstance(one, functools._lru_cache_wrapper):
                one.cache_clear()


def pytest_configure(config: pytest.Config) -> None:
    config.option.loadscopereorder = False  # xdist would begin with the files of many tests, which are the quick ones


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {Path(__file__).parent / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path, len(places)))


def pytest_collection_finish(session: pytest.Session) -> None:
    """What all tests have imported stays: garbage is not looked for in it again and again."""
    if "MUTANT_UNDER_TEST" not in os.environ:
        gc.collect()
        gc.freeze()
    gc.enable()


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home of Prefect's with an empty database, the same one for all workers: to be copied (`tests.orchestration.fill`)."""
    from tests import orchestration

    folder = tmp_path_factory.getbasetemp()
    return orchestration.database(folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder)


@pytest.fixture
def prefect_home(database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own for the Prefect of the processes that a test starts."""
    from tests import orchestration

    home = orchestration.fill(tmp_path / "prefect", database)
    monkeypatch.setenv("PREFECT_HOME", str(home))
    return home


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    global _status
    _status = int(exitstatus)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """Ends the process without tearing the interpreter down: DuckDB's bindings would print a page of "leaked" names, over
    the line that says how many tests passed, for references that other extension modules hold to the very end."""
    if "MUTANT_UNDER_TEST" in os.environ or sys.exc_info()[0]:
        return  # mutmut runs several sessions in one process; and a fault of pytest's own is to be seen
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(_status)
