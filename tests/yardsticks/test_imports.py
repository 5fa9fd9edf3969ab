"""A yardstick is run by hand and seldom: what it takes from the project must still be there when it is."""

import ast
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

import yardsticks

FILES = sorted(Path(yardsticks.__file__).parent.glob("*.py"))
OURS = ("wmsd_core", "flows", "tasks", "deployments", "tests", "yardsticks")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_what_a_yardstick_takes_from_the_project_is_there(file: Path) -> None:
    """By name and not by import: peers and data that a yardstick measures against are not installed here."""
    taken = [
        (node.module, name.name)
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in OURS
        for name in node.names
    ]
    for module, name in taken:
        found = import_module(module)
        assert hasattr(found, name) or import_module(f"{module}.{name}"), f"{module} has no {name}"


def test_what_mutants_run_in_has_all_that_the_package_has() -> None:
    """`make mutants` copies the project: without the shim of torchvision no test could be collected in the copy."""
    settings = tomllib.loads((Path(yardsticks.__file__).parents[1] / "pyproject.toml").read_text())["tool"]
    packed = settings["hatch"]["build"]["targets"]["wheel"]["only-include"]
    assert set(packed) <= {*settings["mutmut"]["source_paths"], *settings["mutmut"]["also_copy"]}
