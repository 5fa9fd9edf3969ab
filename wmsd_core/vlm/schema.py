"""The JSON schema of an answer, as servers take it for structured output."""

from typing import Any

from pydantic import BaseModel


def strict_schema(form: type[BaseModel]) -> dict[str, Any]:
    """The schema of `form` with every property required and no others allowed.

    A property with a default is optional in pydantic's schema, and a model that is held to that may leave out everything.
    """
    return _strict(form.model_json_schema())


def _strict(node: Any) -> Any:
    if isinstance(node, list):
        return [_strict(item) for item in node]
    if not isinstance(node, dict):
        return node
    strict: dict[str, Any] = {}
    for name, value in node.items():
        if name in ("properties", "$defs"):  # their keys are names, among which `default` would be one
            strict[name] = {key: _strict(item) for key, item in value.items()}
        elif name not in ("default", "title"):
            strict[name] = _strict(value)
    if "properties" in strict:
        strict |= {"required": list(strict["properties"]), "additionalProperties": False}
    return strict
