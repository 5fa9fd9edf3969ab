"""The prompts: one versioned YAML file each in `data/prompts/`, written in our own words from the paper's description.

A file holds `version`, and either `question` and `good` (a yes/no question; `end_state: true` if it is about how a video
ends) or `system` and `user` (a request for a structured answer). A change of wording needs a new version: judgments and
task pairs name the one that made them.
"""

from functools import cache
from pathlib import Path
from typing import Any

import yaml

from wmsd_core.vlm.protocol import Message, Question

FOLDER = Path(__file__).parents[2] / "data" / "prompts"


@cache
def load(name: str) -> dict[str, Any]:
    """The prompt file `name` as a mapping.

    Raises:
        ValueError: there is no such prompt; the message lists those that exist.
    """
    path = FOLDER / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in FOLDER.glob("*.yaml")))
        raise ValueError(f"no prompt named '{name}' in {FOLDER}; there are: {known}")
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def version(name: str) -> str:
    """`name/version`, as stored beside whatever the prompt produced."""
    return f"{name}/{load(name)['version']}"


def template(name: str) -> Question:
    """The yes/no question of prompt `name`, with its `{placeholders}`."""
    prompt = load(name)
    return Question(
        name, str(prompt["version"]), prompt["question"].strip(), prompt["good"], prompt.get("end_state", False)
    )


def question(name: str, **values: str) -> Question:
    """The yes/no question of prompt `name`, with `{placeholders}` filled in."""
    return template(name).about(**values)


def messages(name: str, **values: str) -> tuple[Message, Message]:
    """The system and user turns of prompt `name`, with `{placeholders}` filled in; the caller attaches images."""
    prompt = load(name)
    return Message("system", prompt["system"].strip()), Message("user", prompt["user"].format(**values).strip())
