"""A second look at each pair by a model that sees the picture: is the agent there, and is the goal still open?

The writer may name an agent that is not in the picture, or a goal that is reached already; no check of the text finds
that. Log-odds are stored, the verdict is a threshold on them in SQL (`selection`).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from wmsd_core.frames import Frame, Refusal, find
from wmsd_core.frames.refusal import attempt
from wmsd_core.frames.view import view
from wmsd_core.store import insert, query, reading, writing
from wmsd_core.vlm import LogOdds, Question, VisionLanguageModel, prompts
from wmsd_core.vlm.stream import as_they_come, gathered
from wmsd_core.worldtasks.screening import loads

AGENT = "verify_agent"
OPEN = "verify_open"
Questioned = tuple[Frame, list[tuple[str, Question]]]
"""A frame, and the questions about its pairs: (pair id, question)."""


@dataclass(frozen=True)
class Verified:
    """Questions answered now, answered before, and left unread; the next run asks those again."""

    answered: int
    before: int
    unread: int


def verify_pairs(
    store: Path, frame_ids: Sequence[str], vlm: VisionLanguageModel, names: Sequence[str], *, concurrency: int = 1
) -> Verified:
    """Asks the questions `names` about the pairs of `frame_ids` that this model has not answered, and stores as they come.

    Concurrency and errors are those of `screen_frames`.
    """
    with reading(store) as con:
        pairs = query(
            con,
            "SELECT pair_id, frame_id, agent, task FROM task_pairs WHERE frame_id IN (SELECT unnest(?)) ORDER BY ALL",
            [list(frame_ids)],
        )
        rows = query(
            con,
            """
            SELECT pair_id, question_version FROM verifications JOIN task_pairs USING (pair_id)
            WHERE verifications.model = ? AND log_odds IS NOT NULL AND frame_id IN (SELECT unnest(?))
            """,
            [vlm.name, list(frame_ids)],
        )
        known = {(row["pair_id"], row["question_version"]) for row in rows}
        questions: dict[str, list[tuple[str, Question]]] = {}
        for pair in pairs:
            for name in names:
                if (pair["pair_id"], prompts.version(name)) not in known:
                    asked = prompts.question(name, agent=pair["agent"], task=pair["task"])
                    questions.setdefault(pair["frame_id"], []).append((pair["pair_id"], asked))
        todo: list[Questioned] = [(frame, questions[frame.frame_id]) for frame in find(con, list(questions))]
    total = sum(map(len, questions.values()))
    size, under_way = loads(concurrency)
    each = max(1, size // (8 * len(names)))  # frames per call: each brings some sixteen questions
    parts = [todo[start : start + each] for start in range(0, len(todo), each)]
    unread = 0
    for answered in gathered(as_they_come(partial(_ask, vlm=vlm), parts, under_way)):
        rows = [row for _, part in answered for row in part]
        with writing(store) as con:
            insert(con, "verifications", rows, replace=True)
        unread += sum(row["log_odds"] is None for row in rows)
    return Verified(total - unread, len(pairs) * len(names) - total, unread)


def _ask(part: Sequence[Questioned], vlm: VisionLanguageModel) -> list[dict[str, object]]:
    """The rows for the questions about some frames."""
    views = [(attempt(view, frame), questions) for frame, questions in part]
    shown = [(seen, pair, asked) for seen, all_ in views if not isinstance(seen, Refusal) for pair, asked in all_]
    answers = vlm.log_odds([asked for _, _, asked in shown], [seen for seen, _, _ in shown]) if shown else []
    rows = [_row(pair, asked, vlm, answer) for (_, pair, asked), answer in zip(shown, answers, strict=True)]
    refused = [(seen, pair, asked) for seen, all_ in views if isinstance(seen, Refusal) for pair, asked in all_]
    return rows + [_row(pair, asked, vlm, LogOdds.unread(str(refusal))) for refusal, pair, asked in refused]


def _row(pair_id: str, question: Question, vlm: VisionLanguageModel, answer: LogOdds) -> dict[str, object]:
    return {
        "pair_id": pair_id,
        "question_version": f"{question.name}/{question.version}",
        "model": vlm.name,
        "log_odds": None if math.isnan(answer.value) else answer.value,
        "reason": answer.reason,
    }
