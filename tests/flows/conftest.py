"""One Prefect server for the files of flows that a worker runs one after the other."""

from collections.abc import Generator
from pathlib import Path

import pytest

from tests.orchestration import harness


@pytest.fixture(scope="package")
def server(database: Path, tmp_path_factory: pytest.TempPathFactory) -> Generator[None]:
    with harness(tmp_path_factory.mktemp("prefect"), database):
        yield
