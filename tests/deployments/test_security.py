"""The claims of docs/security.md that have no test elsewhere, and that each that it names is there."""

import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

from deployments import pages, server
from tasks.caching import PERSISTED

ROOT = Path(__file__).parents[2]


def test_servers_listen_on_loopback_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import uvicorn

    given: dict[str, Any] = {}
    monkeypatch.setattr(uvicorn, "run", lambda *_, **settings: given.update(settings))
    monkeypatch.setattr(server, "_end_with_parent", lambda: None)
    server.main(4321)
    served = pages.serve(tmp_path, 0)
    served.shutdown()
    assert given["host"] == served.server_address[0] == "127.0.0.1"


@pytest.mark.parametrize(("host", "key", "status"), [("0.0.0.0", "", 2), ("0.0.0.0", "k", 0), ("127.0.0.1", "", 0)])
def test_a_model_server_listens_elsewhere_only_with_a_key(tmp_path: Path, host: str, key: str, status: int) -> None:
    (tmp_path / "vllm").write_text("#!/bin/sh\n")
    (tmp_path / "vllm").chmod(0o755)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "HOST": host, "VLLM_API_KEY": key}
    run = subprocess.run(["sh", str(ROOT / "deployments/vllm/serve.sh"), "model"], env=environment, capture_output=True)
    assert run.returncode == status and (b"set VLLM_API_KEY" in run.stderr) == bool(status)


def test_results_are_json_and_nothing_is_unpickled() -> None:
    assert PERSISTED["result_serializer"] == "json"
    persisting = [file for file in (ROOT / "tasks").glob("*.py") if "persist_result" in file.read_text()]
    assert [file.name for file in persisting] == ["caching.py"]
    rules = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]
    assert "S301" in rules["select"] and "pickle" in rules["flake8-tidy-imports"]["banned-api"]


def test_every_test_that_the_page_names_is_there() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", (ROOT / "docs/security.md").read_text())
    assert len(named) >= 8
    for file, name in named:
        assert f"def {name}(" in (ROOT / file).read_text() if name else (ROOT / file).is_file(), (file, name)
