"""Labels by a language model, as the paper has them (4.1.1): by the text of the tasks alone, those of a frame in one request.

They stand beside the labels by rules (`taxonomy`): two labellers, whose agreement can be measured (`agreement`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path

from pydantic import BaseModel, Field

from wmsd_core.config import Config
from wmsd_core.seeds import derive
from wmsd_core.store import insert, query, reading, writing
from wmsd_core.vlm import VisionLanguageModel, prompts
from wmsd_core.vlm.stream import as_they_come, gathered
from wmsd_core.worldtasks.kinds import AGENTS, TASKS, AgentType, TaskType

PROMPT = "taxonomy"


class TaskLabel(BaseModel):
    """The kinds of one task."""

    number: int = Field(description="The number of the task.")
    agent_type: AgentType
    task_type: TaskType


class TaskLabels(BaseModel):
    """The kinds of several tasks, in their order."""

    labels: list[TaskLabel]


class LabelConfig(Config):
    """Who sorts tasks into kinds. Word rules always do."""

    ask: bool = False
    """Let the writing model label every task too, by text alone, as the paper does. Its labels are then the ones that caps
    and reports use, and their agreement with the rules is told."""
    seed: int = 0
    """Run seed; each frame has its own, derived from it."""
    attempts: int = Field(default=2, ge=1)
    """Requests per frame and run, each with another seed, while no answer can be read."""


@dataclass(frozen=True)
class Labelled:
    """Pairs labelled now, labelled before, and left without a label, which the next run asks about again."""

    labelled: int
    before: int
    unread: int
    why: str
    """What was wrong with one of the answers; empty if nothing was."""


def labeller_of(model: str) -> str:
    """The name under which the labels of `model` are stored."""
    return f"{prompts.version(PROMPT)} {model}"


def label_by_model(
    store: Path, frame_ids: Sequence[str], vlm: VisionLanguageModel, config: LabelConfig, *, concurrency: int = 1
) -> Labelled:
    """Labels those pairs of `frame_ids` that this model has not labelled, and stores labels as they come.

    Concurrency and errors are those of `generate_pairs`.
    """
    name = labeller_of(vlm.name)
    with reading(store) as con:
        rows = query(
            con,
            """
            SELECT frame_id, pair_id, task, pair_id IN (SELECT pair_id FROM taxonomy WHERE labeller = ?) AS known
            FROM task_pairs WHERE frame_id IN (SELECT unnest(?)) ORDER BY frame_id, position
            """,
            [name, list(frame_ids)],
        )
    todo = [(row["frame_id"], row["pair_id"], row["task"]) for row in rows if not row["known"]]
    frames = [list(group) for _, group in groupby(todo, key=lambda row: row[0])]
    labelled, why = 0, ""
    for answers in gathered(as_they_come(partial(_ask, vlm=vlm, config=config), frames, concurrency)):
        made: list[dict[str, object]] = []
        for pairs, answer in answers:
            if isinstance(answer, ValueError):
                why = str(answer)
                continue
            for (_, pair_id, _), found in zip(pairs, answer, strict=True):
                kinds = {"agent_type": found.agent_type, "task_type": found.task_type}
                made.append({"pair_id": pair_id, "labeller": name, **kinds})
        with writing(store) as con:
            insert(con, "taxonomy", made)
        labelled += len(made)
    return Labelled(labelled, len(rows) - len(todo), len(todo) - labelled, why)


def _ask(
    pairs: Sequence[tuple[str, str, str]], vlm: VisionLanguageModel, config: LabelConfig
) -> list[TaskLabel] | ValueError:
    """The labels of a frame's tasks, one each in their order, or why there are none."""
    messages = prompts.messages(
        PROMPT,
        count=str(len(pairs)),
        agents=_listed(AGENTS),
        kinds=_listed(TASKS),
        tasks="\n".join(f"{number}. {task}" for number, (_, _, task) in enumerate(pairs, start=1)),
    )
    failure = ValueError()
    for index in range(config.attempts):
        try:
            answer = vlm.complete(messages, TaskLabels, seed=derive(config.seed, PROMPT, pairs[0][1], index))
        except ValueError as error:
            failure = error
            continue
        if [label.number for label in answer.labels] == list(range(1, len(pairs) + 1)):
            return answer.labels
        failure = ValueError(f"{len(answer.labels)} labels for {len(pairs)} tasks, or in another order")
    return failure


def _listed(meanings: dict[AgentType, str] | dict[TaskType, str]) -> str:
    return "\n".join(f"- {name}: {meaning}" for name, meaning in meanings.items())
