"""Forms that a person can fill in: few fields, each with its help and bounds, and definitions that name flows that exist."""

import ast
import re
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from prefect.flows import load_flow_from_entrypoint
from prefect.utilities.callables import parameter_schema

from deployments import forms, recipes
from deployments.up import DEFINITIONS, GPU_QUEUE, POOL
from wmsd_core.filters import FilterConfig

DEPLOYMENTS: list[dict[str, Any]] = yaml.safe_load(DEFINITIONS.read_text(encoding="utf-8"))["deployments"]


def test_every_recipe_can_be_chosen() -> None:
    assert get_args(forms.RecipeName) == ("workspace", *recipes.RECIPES)


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda one: one["name"])
def test_a_deployment_has_a_description_tags_and_a_form_of_few_fields_with_help(deployment: dict[str, Any]) -> None:
    assert deployment["description"] and "wmsd" in deployment["tags"]
    assert deployment["work_pool"]["name"] == POOL
    flow = load_flow_from_entrypoint(deployment["entrypoint"])
    schema = parameter_schema(flow).model_dump_for_openapi()
    fields = schema["properties"]
    assert len(fields) <= 6 and all(field.get("description") for field in fields.values())
    assert schema["required"] == ["workspace"] and deployment["parameters"].keys() == {"workspace"}


def test_what_needs_a_gpu_is_in_its_queue() -> None:
    queues = {one["name"]: one["work_pool"]["work_queue_name"] for one in DEPLOYMENTS}
    assert {name for name, queue in queues.items() if queue == GPU_QUEUE} == {
        *("pipeline", "train", "evaluate", "nightly-evaluation"),
    }


def test_the_filters_form_begins_with_its_thresholds_and_says_their_bounds() -> None:
    schema = parameter_schema(forms.filter_).model_dump_for_openapi()
    assert min(schema["properties"], key=lambda name: schema["properties"][name]["position"]) == "thresholds"
    (thresholds,) = (found for found in schema["definitions"].values() if "min_sharpness" in found["properties"])
    assert thresholds["properties"]["max_luminance"]["description"].endswith("(at least 0, at most 255)")
    assert len(thresholds["properties"]) == len(FilterConfig.model_fields)


def test_every_bound_of_every_setting_is_in_its_help() -> None:
    definitions = recipes.named("miniature").model_json_schema()["$defs"]
    bounded = [
        (name, field)
        for definition in definitions.values()
        for name, field in definition.get("properties", {}).items()
        if {"minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum"} & field.keys()
    ]
    assert len(bounded) > 60
    for name, field in bounded:
        limits = {field[key] for key in ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum") if key in field}
        assert all(f"{limit:g}" in field["description"].rpartition("(")[2] for limit in limits), name


@pytest.mark.parametrize("folder", ["tasks", "flows"])
def test_what_a_run_says_does_not_speak_of_options_of_the_command_line(folder: str) -> None:
    """Settings are named by their keys, which options and forms take alike."""
    for module in (Path(__file__).parents[2] / folder).glob("*.py"):
        told = [
            node.value
            for node in ast.walk(ast.parse(module.read_text(encoding="utf-8")))
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        ]
        assert not [text for text in told if re.search(r"--(set|workspace|refresh|frames|recipe)\b", text)], module


def test_of_the_thresholds_that_a_form_sends_those_count_that_are_not_as_it_showed_them() -> None:
    sent = FilterConfig().model_dump() | {"min_sharpness": 5.0}
    assert forms.altered(FilterConfig.model_validate(sent)) == {"min_sharpness": 5.0}


def test_a_workspace_that_holds_no_store_and_a_run_that_is_not_there_are_told(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is no store in /nowhere/at/all: run pipeline or filter"):
        forms.begun(Path("/nowhere/at/all"), holds_frames=True)
    with pytest.raises(ValueError, match="there is no training run '0123'"):
        forms.configuration(tmp_path, "miniature", (), run="0123")
