"""Configurations are closed, frozen, and identified by their content and revision."""

import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Mapping
from typing import ClassVar

import pytest
from pydantic import Field, ValidationError

from wmsd_core import overrides, seeds
from wmsd_core.config import Config


class Inner(Config):
    rate: float = Field(0.5, gt=0, le=1)
    names: tuple[str, ...] = ("a",)


class Outer(Config):
    steps: int = Field(3, ge=1)
    label: str | None = None
    inner: Inner = Inner()


def test_a_digest_is_sha256_of_revision_and_canonical_json() -> None:
    text = json.dumps([1, {"rate": 0.5, "names": ["a"]}], sort_keys=True, separators=(",", ":"))
    assert Inner().digest() == hashlib.sha256(text.encode()).hexdigest()[:16]


def test_a_raised_revision_changes_the_digest() -> None:
    class Revised(Inner):
        revision: ClassVar[int] = 2

    assert Revised().digest() != Inner().digest()


def test_a_configuration_cannot_be_changed_or_misspelt() -> None:
    with pytest.raises(ValidationError):
        Outer().steps = 4  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(ValidationError):
        Outer.model_validate({"stpes": 4})


def test_overrides_are_typed_and_nested() -> None:
    changed = overrides.apply(Outer(), ["steps=7", "inner.rate=1e-2", "inner.names=[x, y]", "label=hello"])
    assert changed == Outer(steps=7, label="hello", inner=Inner(rate=0.01, names=("x", "y")))
    assert Outer().steps == 3


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("inner.rte=1", "did you mean 'inner.rate'"),
        ("rate=1", "did you mean 'inner.rate'"),
        ("nothing.like.it=1", "the keys are: steps, label, inner.rate, inner.names"),
        ("steps", "not of the form key=value"),
        ("steps=0", "steps: Input should be greater than or equal to 1"),
        ("steps=many", "steps: Input should be a valid integer"),
        ("inner.rate=2", "inner.rate: Input should be less than or equal to 1"),
    ],
)
def test_a_wrong_override_says_what_to_change(assignment: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        overrides.apply(Outer(), [assignment])


def test_every_setting_is_described() -> None:
    found = {setting.key: setting.value for setting in overrides.describe(Outer(steps=9))}
    assert found == {"steps": 9, "label": None, "inner.rate": 0.5, "inner.names": ("a",)}


def test_seeds_depend_on_every_argument_and_on_nothing_else() -> None:
    base = seeds.derive(1, "noise", "item", 2)
    others = [seeds.derive(2, "noise", "item", 2), seeds.derive(1, "n", "item", 2), seeds.derive(1, "noise", "i", 2)]
    assert len({base, *others, seeds.derive(1, "noise", "item", 3)}) == 5
    code = "from wmsd_core import seeds; print(seeds.derive(1, 'noise', 'item', 2))"
    fresh = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={"PYTHONHASHSEED": salt})
        for salt in ("1", "2")
    ]
    assert [int(run.stdout) for run in fresh] == [base, base]
    assert 0 <= base < 2**63


def test_an_old_name_of_a_setting_is_answered_with_the_new_one() -> None:
    class Moved(Inner):
        renamed: ClassVar[Mapping[str, str]] = {"speed": "rate"}

    class Around(Config):
        inner: Moved = Moved()

    for old in ({"speed": 1}, {"speed": 1, "rate": 0.5}):
        with pytest.raises(ValidationError, match="the setting 'speed' is called 'rate' now"):
            Moved.model_validate(old)
    with pytest.raises(ValueError, match=re.escape("the setting 'inner.speed' is called 'inner.rate' now")):
        overrides.apply(Around(), ["inner.speed=1"])
