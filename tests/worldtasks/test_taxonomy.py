"""Labels of published tasks, of the miniature's, and of one task of every kind."""

import pytest

from wmsd_core.instruction import parse
from wmsd_core.worldtasks.taxonomy import agent_noun, label


@pytest.mark.parametrize(
    ("task", "noun", "agent_type", "task_type"),
    [
        ("[Red circle]: go to the blue square.", "circle", "object", "navigation"),
        ("[Red circle]: go to the left edge.", "circle", "object", "positioning"),
        ("[Purple triangle]: go to the bottom edge.", "triangle", "object", "positioning"),
        ("[Person in blue shirt]: Move forward to the nearest building.", "person", "human", "navigation"),
        ("[Character with horned helmet]: Use the bow to aim at the tree trunk.", "character", "human", "combat"),
        ("[Driver in racing suit]: Press the red button on the wheel.", "driver", "human", "object_interaction"),
        ("[First-person view]: Align the car's bumper with the curb.", "view", "first_person", "vehicle_control"),
        ("[Black minivan]: Move to the white lane marking.", "minivan", "vehicle", "vehicle_control"),
        ("[First person view]: Move to the right to examine the house.", "view", "first_person", "perception"),
        ("[Player with glowing sword]: Pick up the white object beside the pedestal.", "player", "human",
         "object_interaction"),
        ("[Man holding umbrella]: Step off the crosswalk and hand it to the girl.", "man", "human", "compound"),
        ("[Man]: Open the door, then walk through it.", "man", "human", "compound"),
        ("[Brown dog]: Sit beside the bench.", "dog", "animal", "positioning"),
        ("[Dragon]: Fly to the tower.", "dragon", "creature", "navigation"),
        ("[Crowd]: Wave.", "crowd", "crowd", "other"),
        ("[First-person view]: Select the map in the menu.", "view", "first_person", "ui"),
        ("[Thing]: Sing.", "thing", "other", "other"),
    ],
)  # fmt: skip
def test_labels(task: str, noun: str, agent_type: str, task_type: str) -> None:
    parsed = parse(task)
    assert parsed is not None
    found = label(parsed.agent, parsed.instruction)
    assert (found.noun, found.agent_type, found.task_type) == (noun, agent_type, task_type)


def test_an_agent_without_words_has_no_noun() -> None:
    assert agent_noun("in blue") == ""
