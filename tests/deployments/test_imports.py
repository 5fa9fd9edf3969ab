"""What a command reads before it answers: seconds of imports are not spent on a page of help or a list of settings."""

import json
import subprocess
import sys

import pytest

HEAVY = ("torch", "prefect", "pyarrow", "duckdb", "av", "cv2", "numpy", "matplotlib", "transformers", "openai")


def read(module: str) -> set[str]:
    """Which of the heavy packages a process has read once it has imported `module`."""
    code = f"import json, sys, {module}; print(json.dumps([name for name in {HEAVY} if name in sys.modules]))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(run.stdout))


def test_the_command_line_reads_nothing_heavy() -> None:
    assert read("deployments.cli") == set()


def test_the_settings_read_neither_torch_nor_prefect_nor_charts() -> None:
    assert not read("wmsd_core.recipe") & {"torch", "prefect", "matplotlib", "transformers", "openai"}


@pytest.mark.parametrize("module", ["deployments.start", "deployments.options", "deployments.recipes"])
def test_what_a_new_group_of_commands_imports_reads_nothing_heavy(module: str) -> None:
    assert read(module) == set()
