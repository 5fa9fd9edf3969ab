"""A runner is chosen by one setting, with a clear word where it cannot be had; `tests.tasks.runners` compares their rows."""

import sys
from collections.abc import Generator

import pytest
from prefect.task_runners import ThreadPoolTaskRunner

from tasks.runner import shard_runner


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> Generator[None]:
    for name in ("WMSD_RUNNER", "WMSD_WORKERS", "WMSD_CLUSTER"):
        monkeypatch.delenv(name, raising=False)
    yield


def test_threads_are_the_default_and_their_number_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WMSD_WORKERS", "7")
    runner = shard_runner()
    assert isinstance(runner, ThreadPoolTaskRunner) and runner._max_workers == 7


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("WMSD_RUNNER", "spark", "no runner 'spark'; set WMSD_RUNNER to one of threads, dask, ray"),
        ("WMSD_WORKERS", "0", "must be a number of at least 1"),
        ("WMSD_WORKERS", "many", "must be a number of at least 1"),
    ],
)
def test_a_wrong_setting_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str, message: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=message):
        shard_runner()


@pytest.mark.parametrize("extra", ["dask", "ray"])
def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch, extra: str) -> None:
    monkeypatch.setenv("WMSD_RUNNER", extra)
    monkeypatch.setitem(sys.modules, f"prefect_{extra}", None)
    with pytest.raises(ValueError, match=rf"pip install 'wmsd\[{extra}\]'"):
        shard_runner()
