"""WorldTasks-Bench (paper sections 4.1.2 and A.4): task-solution pairs of frames that training never sees.

A VLM answers three questions about each video: task, agent, consistency. The paper draws 200 items; the default here is
400, for which the interval of a score of 50 % is +-5 points instead of +-7.

Whoever chooses settings by scores chooses on `worldtasks-selection` and measures on `worldtasks-test`: the two are disjoint by
picture, and together the whole.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import duckdb

from wmsd_core import store
from wmsd_core.bench import controls
from wmsd_core.bench.benchmark import Benchmark, Criterion, Grouping, Item, Published
from wmsd_core.config import digest
from wmsd_core.frames import Frame
from wmsd_core.vlm import prompts
from wmsd_core.worldtasks.taxonomy import agent_noun, noun_type

Half = Literal["selection", "test"]
HALVES: tuple[Half, Half] = ("selection", "test")
_ALL = 2**31
_PUBLISHED = {
    "HY1.5": (0.464, 0.540, 0.780, 0.597),
    "HY1.5 + WMSD*": (0.574, 0.630, 0.828, 0.673),
    "LTX-2": (0.315, 0.395, 0.690, 0.467),
    "LTX-2 + SFT": (0.292, 0.389, 0.682, 0.454),
    "LTX-2 + WMSD*": (0.452, 0.500, 0.693, 0.548),
    "LTX-2 (8-step)": (0.285, 0.391, 0.694, 0.455),
    "LTX-2 (8-step) + VLM": (0.495, 0.572, 0.732, 0.598),
    "LTX-2 (8-step) + WMSD": (0.605, 0.691, 0.882, 0.726),
}


def worldtasks() -> Benchmark:
    """The benchmark that the data stages make, from whatever pictures they are given."""
    return Benchmark(
        name="worldtasks",
        title="WorldTasks-Bench",
        source="World Model Self-Distillation, sections 4.1.2 and A.4",
        licence="that of the frames (the table frames names it for each)",
        criteria=(
            _criterion("task", "Task", "the task is completed, by what the last frames show"),
            _criterion("agent", "Agent", "the agent that was told to act is the one that does"),
            _criterion("consistency", "Consistency", "what happens is plausible and continuous"),
        ),
        items=_items,
        absent="the bench split has no task: run the generate stage first, with more frames or a larger bench share",
        published=Published(
            "Table 1 of the paper, 200 tasks; * as marked there; its average is a count of its own, not the mean of the three",
            {
                method: dict(zip(("task", "agent", "consistency", "average"), values, strict=True))
                for method, values in _PUBLISHED.items()
            },
        ),
        groupings=_groupings,
        controls=(
            controls.still({"task": False, "agent": False}),
            controls.reversed_({"task": False}),
            controls.cut({"consistency": False}),
            controls.shuffled_middle({"consistency": False}),
            controls.other_task({"task": False}),
            controls.real({"consistency": True}),
        ),
    )


def selection() -> Benchmark:
    """The half on which settings may be chosen."""
    return _half("selection")


def test() -> Benchmark:
    """The half that a choice is measured on, once."""
    return _half("test")


def _half(name: Half) -> Benchmark:
    whole = worldtasks()
    return replace(
        whole,
        name=f"{whole.name}-{name}",
        title=f"{whole.title}, {name} half",
        items=partial(_items_of_half, half=name),
        absent=f"the {name} half of the bench split has no task: the generate stage needs more frames or a larger bench share",
    )


def half_of(frame_id: str) -> Half:
    """The half that a picture is in, with all its tasks: a bit of a hash of its content, whatever else is in the store."""
    return HALVES[int(digest(["half", frame_id]), 16) % 2]


def _criterion(name: str, title: str, meaning: str) -> Criterion:
    return Criterion(name, title, meaning, prompts.template(f"judge_{name}"))


def _items_of_half(con: duckdb.DuckDBPyConnection, most: int, half: Half) -> list[Item]:
    return [item for item in _items(con, _ALL) if half_of(item.frame.frame_id) == half][:most]


def _items(con: duckdb.DuckDBPyConnection, most: int) -> list[Item]:
    """The first pairs of the bench split in order of pair id; none that a stage has turned down since.

    Pair ids are SHA-256 values: their order is a random draw that needs no generator, and a larger draw contains a
    smaller one.
    """
    rows = con.execute(
        """
        SELECT pair_id, frame_id, path, format, width, height, task, solution
        FROM task_pairs JOIN usable_pairs USING (pair_id) JOIN splits USING (frame_id) JOIN frames USING (frame_id)
        WHERE split = 'bench' AND (examined IS NULL OR list_contains(examined, pair_id))
        ORDER BY pair_id LIMIT ?
        """,
        [most],
    ).fetchall()
    return [
        Item(pair_id, Frame(frame_id, Path(path), format_, width, height), task, solution)
        for pair_id, frame_id, path, format_, width, height, task, solution in rows
    ]


def _groupings(con: duckdb.DuckDBPyConnection, items: Sequence[Item]) -> list[Grouping]:
    """Task Score by task type and Agent Score by agent type (section 4.5, figure 7), as the labeller who knows most of the
    items has it."""
    rows = store.query(
        con,
        """
        SELECT pair_id, labeller, agent_type, task_type, agent FROM taxonomy JOIN task_pairs USING (pair_id)
        WHERE list_contains(?, pair_id)
        """,
        [[item.item_id for item in items]],
    )
    if not rows:
        return []
    # The name breaks ties, so that the choice does not depend on the order of rows.
    labeller = max(Counter(row["labeller"] for row in rows).items(), key=lambda known: (known[1], known[0]))[0]
    labels = {row["pair_id"]: row for row in rows if row["labeller"] == labeller}
    tasks = {pair: row["task_type"] for pair, row in labels.items()}
    agents = {pair: _agent(row) for pair, row in labels.items()}
    return [
        Grouping("Task score by kind of task", "task", tasks, labeller),
        Grouping("Agent score by kind of agent", "agent", agents, labeller),
    ]


def _agent(row: dict[str, Any]) -> str:
    return agent_kind(row["agent"], row["agent_type"])


def agent_kind(agent: str, labelled: str) -> str:
    """The kind of agent that a description is counted under, however it is spelled.

    That is the labelled type; of objects, which have little in common, the kind of thing too, in the singular: "object:
    circle". One that the labeller knows no type of is looked at again, spelled plainly: "First_person_view" is first_person.
    """
    plain = " ".join(re.sub(r"\([^)]*\)|\[|\]|_", " ", agent).split())
    noun = agent_noun(plain)
    if noun_type(noun) == "other" and noun_type(noun.removesuffix("s")) != "other":
        noun = noun.removesuffix("s")
    if labelled == "other":
        labelled = next((kind for text in (plain, noun) if (kind := noun_type(text)) != "other"), "other")
    return f"object: {noun}" if labelled == "object" and noun else labelled
