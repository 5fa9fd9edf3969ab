"""What a command reads before it answers: seconds of imports are not spent on a page of help or a list of settings."""

import json
import os
import subprocess
import sys

import pytest

HEAVY = ("torch", "prefect", "pyarrow", "duckdb", "av", "cv2", "numpy", "matplotlib", "transformers", "openai")
HEAVY += ("jinja2", "markdown_it")


def read(module: str) -> set[str]:
    """Which of the heavy packages a process has read once it has imported `module`."""
    code = f"import json, sys, {module}; print(json.dumps([name for name in {HEAVY} if name in sys.modules]))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(run.stdout))


def test_the_command_line_reads_nothing_heavy() -> None:
    assert read("deployments.cli") == set()


def test_the_settings_read_neither_torch_nor_prefect_nor_charts_nor_pages() -> None:
    unwanted = {"torch", "prefect", "matplotlib", "transformers", "openai", "jinja2", "markdown_it"}
    assert not read("wmsd_core.recipe") & unwanted


def test_a_pipeline_reads_what_computes_and_draws_only_where_there_is_something_to_do() -> None:
    assert not read("flows.pipeline") & {"torch", "matplotlib", "transformers", "openai"}


@pytest.mark.parametrize("module", ["deployments.start", "deployments.options", "deployments.recipes"])
def test_what_a_new_group_of_commands_imports_reads_nothing_heavy(module: str) -> None:
    assert read(module) == set()


def test_a_run_from_the_ui_is_set_up_before_anything_heavy_is_read() -> None:
    """Whoever's worker has started it: arithmetic counts its threads when it is imported."""
    code = (
        "import os, sys; sys.modules['prefect'] = None\n"
        "try: import deployments.forms\n"
        "except ImportError: print(os.environ['OMP_NUM_THREADS'], 'numpy' in sys.modules)"
    )
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert run.stdout.split() == ["1", "False"]


def test_a_run_from_the_ui_ends_with_its_own_status_and_without_the_noise_of_a_torn_down_interpreter() -> None:
    code = (
        "import os, sys; from deployments import start; start.begin()\n"
        "class Leak:\n"
        "    def __del__(self): os.write(2, b'leaked')\n"
        "kept = Leak(); print('said', file=sys.stderr); sys.exit(3)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (3, "said\n")
