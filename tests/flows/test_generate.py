"""The generate stage through Prefect, on the miniature: second looks, caps and labels, and what a person can read."""

from typing import Any

import pytest
from prefect.client.orchestration import get_client

from flows.generate import generate
from tasks.generate import forget_pairs
from wmsd_core import store
from wmsd_core.frames import FramesConfig, register
from wmsd_core.miniature.pictures import RenderConfig, render
from wmsd_core.workspace import Workspace
from wmsd_core.worldtasks import GenerateConfig, LabelConfig, SelectConfig

pytestmark = pytest.mark.usefixtures("server")

WRITING = GenerateConfig(wishes=2)
VERIFIED = SelectConfig(min_agent_log_odds=0.0, min_open_log_odds=0.0, max_cell_share=0.4)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, dict[str, Any]]:
    place = Workspace(tmp_path_factory.mktemp("workspace")).prepare()
    list(render(place.frames, place.root / "truth.jsonl", RenderConfig(n=30)))
    register(place.store, place.frames, FramesConfig())
    return place, generate(place.root, WRITING, labelling=LabelConfig(ask=True), selection=VERIFIED)


def rows(place: Workspace, sql: str) -> list[dict[str, Any]]:
    with store.reading(place.store) as con:
        return store.query(con, sql)


def test_the_summary_says_what_became_of_everything(finished: tuple[Workspace, dict[str, Any]]) -> None:
    place, summary = finished
    pairs = rows(place, "SELECT count(*) AS n FROM task_pairs")[0]["n"]
    assert summary["pairs"] == summary["labels"] == pairs > 100
    assert summary["rejected"]["other_agent"] > 0  # the planner's errors
    assert summary["kept"] + sum(summary["dropped"].values()) == pairs
    assert set(summary["dropped"]) == {"over_quota"}  # every agent that the planner names is there, every goal open
    assert summary["labels_by_model"] == {"labelled": 0, "before": 0, "unread": pairs}
    assert "only, not TaskLabels" in summary["a_label_was_unread_because"]
    assert rows(place, "SELECT count(*) AS n FROM verifications WHERE log_odds > 0")[0]["n"] == 2 * pairs


def test_another_selection_asks_nobody(finished: tuple[Workspace, dict[str, Any]]) -> None:
    place, summary = finished
    before = rows(place, "SELECT * FROM verifications ORDER BY ALL")
    again = generate(place.root, WRITING, selection=SelectConfig())
    assert again["kept"] == summary["pairs"]
    assert rows(place, "SELECT * FROM verifications ORDER BY ALL") == before


def test_it_leaves_tables_to_read(finished: tuple[Workspace, dict[str, Any]]) -> None:
    with get_client(sync_client=True) as client:
        artifacts = {artifact.key: str(artifact.data) for artifact in client.read_latest_artifacts()}
    assert {"task-pairs", "rejected-pairs", "refusal-rates", "task-mix"} <= set(artifacts)
    assert "other_agent" in artifacts["rejected-pairs"]
    assert "agent_type" in artifacts["refusal-rates"] and "source" in artifacts["refusal-rates"]


def test_forgetting_leaves_nothing_of_the_pairs(finished: tuple[Workspace, dict[str, Any]]) -> None:
    place, _ = finished
    forget_pairs(place.root)
    for table in ("task_pairs", "rejected_pairs", "taxonomy", "verifications", "wishes", "usable_pairs"):
        assert rows(place, f"SELECT count(*) AS n FROM {table}") == [{"n": 0}]
    assert rows(place, "SELECT * FROM rejections WHERE stage = 'generate'") == []
