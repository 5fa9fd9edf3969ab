"""What kind of agent acts, and what kind of task it has: the categories of the paper's figure 3, told by rules.

The paper asks a language model, as `labelling` does. These are word lists and an order of precedence: deterministic, free,
good for a breakdown of a benchmark or a check on a data set's balance, and wrong where a text uses a word in another sense.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from wmsd_core.store import insert, query, writing
from wmsd_core.worldtasks.kinds import AgentType, TaskType
from wmsd_core.worldtasks.text import words

LABELLER = "rules/1"

_FIRST_PERSON = re.compile(r"first[- ]person|\bpov\b|\bcamera\b|\bviewer\b")
_NOUN_ENDS = re.compile(
    r"\b(?:in|on|at|with|without|of|from|near|by|behind|beside|under|wearing|holding|carrying|riding|driving|sitting"
    r"|standing|who|that|to)\b"
)
_AGENTS: dict[AgentType, str] = {
    "crowd": """
        crowd people pedestrians group soldiers spectators men women players children enemies guards team""",
    "human": """
        man woman person boy girl child kid baby player character soldier guard knight warrior driver rider
        pilot cyclist pedestrian worker officer hunter chef farmer dancer athlete runner skater surfer
        protagonist hero figure avatar npc enemy archer swordsman survivor sniper human guy lady gentleman
        doctor nurse passenger hand""",
    "vehicle": """
        car truck van minivan bus taxi motorcycle motorbike bike bicycle scooter tank train tram boat ship plane
        aircraft airplane jet helicopter drone spaceship suv sedan vehicle tractor forklift kart cart""",
    "animal": """
        dog cat horse cow sheep goat pig bird duck chicken deer bear wolf fox rabbit lion tiger elephant monkey
        fish shark whale snake spider insect butterfly bee turtle frog mouse animal camel puppy kitten""",
    "creature": """
        dragon zombie monster robot alien demon ghost goblin orc troll skeleton beast creature giant mech golem
        dinosaur vampire werewolf fairy android""",
    "object": """
        circle triangle square ball box cube block door tree building rock boulder house table chair cup bottle
        lamp sign flag cloud wheel ring disc star object umbrella elevator crane arm""",
}
_AGENT_TYPES: dict[str, AgentType] = {noun: kind for kind, nouns in _AGENTS.items() for noun in nouns.split()}

_VERBS = {
    "move": """
        go walk run move head approach enter exit follow cross climb jump step sprint swim fly proceed advance
        travel return leave reach descend ascend navigate crawl dash wade continue""",
    "handle": """
        pick grab take open close push pull press place put drop hand give hold use throw kick lift carry hang
        pour cut touch knock collect catch unlock lower raise flip switch activate interact swing break insert
        remove""",
}
MOVES = frozenset(_VERBS["move"].split())
HANDLES = frozenset(_VERBS["handle"].split())
"""Verbs that a clause of an instruction may begin with: those that change the place, and those that act on a thing."""
_COMBAT = re.compile(
    r"\b(?:attack|shoot|fire (?:at|the|your|a)|aim|aiming|slash|stab|strike|kill|reload|defend|parry|weapon|trigger"
    r"|fight)\b"
)
_UI = re.compile(r"\b(?:menu|inventory|cursor|icon|hud|minimap|click|select|scroll|screen|dialogue)\b")
_DRIVING = re.compile(r"\b(?:drive|steer|accelerate|brake|overtake|throttle|gear|park|reverse|bumper|lane change)\b")
_LOOKING = re.compile(
    r"\b(?:look|examine|inspect|observe|watch|read|scan|focus|search|check|identify|gaze|study|glance|listen)\b"
)
_PLACING = re.compile(
    r"\b(?:align|position|stop|halt|stand|stay|wait|face|turn|rotate|crouch|kneel|sit|lean|center|edge|corner|beside"
    r"|between|in front of|behind|next to|left side|right side)\b"
)


@dataclass(frozen=True)
class TaskKinds:
    """The kinds of one task. `noun` is the agent's bare noun: finer than its type, where all agents are objects."""

    noun: str
    agent_type: AgentType
    task_type: TaskType


def label(agent: str, instruction: str) -> TaskKinds:
    """Labels a task by its text alone."""
    agent_type = noun_type(agent)
    return TaskKinds(agent_noun(agent), agent_type, _task_type(instruction, agent_type))


def agent_noun(agent: str) -> str:
    """The noun that the description is about: "Man in blue shirt" -> "man", "Red circle" -> "circle"; "" if none."""
    head = words(_NOUN_ENDS.split(agent.casefold(), maxsplit=1)[0])
    return head[-1] if head else ""


def noun_type(agent: str) -> AgentType:
    """The agent type of a description, by its noun: "Man in blue shirt" -> human."""
    if _FIRST_PERSON.search(agent.casefold()):
        return "first_person"
    return _AGENT_TYPES.get(agent_noun(agent), "other")


def label_tasks(store: Path) -> int:
    """Labels every stored pair that these rules have not labelled; returns how many were new."""
    with writing(store) as con:
        pairs = query(
            con,
            """
            SELECT pair_id, agent, instruction FROM task_pairs
            WHERE pair_id NOT IN (SELECT pair_id FROM taxonomy WHERE labeller = ?)
            """,
            [LABELLER],
        )
        labels = [(pair["pair_id"], label(pair["agent"], pair["instruction"])) for pair in pairs]
        rows = [
            {"pair_id": pair, "labeller": LABELLER, "agent_type": found.agent_type, "task_type": found.task_type}
            for pair, found in labels
        ]
        return insert(con, "taxonomy", rows)


def _task_type(instruction: str, agent_type: AgentType) -> TaskType:
    text = instruction.casefold()
    verbs = [found[0] for clause in re.split(r"\bthen\b|\band\b|[;,]", text) if (found := words(clause))]
    actions = [verb for verb in verbs if verb in MOVES | HANDLES]
    if len(actions) > 1:
        return "compound"
    if _COMBAT.search(text):
        return "combat"
    if _UI.search(text):
        return "ui"
    if agent_type == "vehicle" or _DRIVING.search(text):
        return "vehicle_control"
    if _LOOKING.search(text):
        return "perception"
    if verbs and verbs[0] in HANDLES:
        return "object_interaction"
    if _PLACING.search(text):
        return "positioning"
    return "navigation" if verbs and verbs[0] in MOVES else "other"
