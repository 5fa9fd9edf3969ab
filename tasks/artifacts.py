"""What each stage leaves in the Prefect UI for a person to read."""

from collections.abc import Mapping, Sequence
from typing import Any

from prefect.artifacts import create_link_artifact, create_table_artifact
from prefect.logging import get_run_logger


def publish_table(key: str, rows: Sequence[Mapping[str, Any]], description: str) -> None:
    """A table artifact; `key` is lower case with dashes. The description is logged too."""
    get_run_logger().info(description)
    create_table_artifact(key=key, table=[dict(row) for row in rows], description=description)


def publish_link(key: str, link: str, text: str, description: str) -> None:
    get_run_logger().info(description)
    create_link_artifact(key=key, link=link, link_text=text, description=description)
