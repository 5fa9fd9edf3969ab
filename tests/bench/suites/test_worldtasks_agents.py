import pytest

from wmsd_core.bench.suites.worldtasks import agent_kind


@pytest.mark.parametrize(
    ("agent", "labelled", "kind"),
    [
        ("First_person_view", "other", "first_person"),
        ("First-person_view", "first_person", "first_person"),
        ("[Red circle]", "object", "object: circle"),
        ("red circles (two of them)", "other", "object: circle"),
        ("A red circle.", "object", "object: circle"),
        ("Man_in_center", "other", "human"),
        ("man (left)", "other", "human"),
        ("Glass of water", "object", "object: glass"),  # no plural
        ("Batman", "other", "other"),
        ("", "object", "object"),
    ],
)
def test_spellings_of_an_agent_are_one_kind(agent: str, labelled: str, kind: str) -> None:
    assert agent_kind(agent, labelled) == kind
